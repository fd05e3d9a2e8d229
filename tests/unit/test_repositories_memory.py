"""The memory of git is bounded, and ours does not grow with a repository."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from project_export.repositories import BundleReader
from tests.repositories import ENVIRONMENT, NAME, blob, commit, empty, git

MB = 1 << 20
LIMIT = 100 * MB
"""Of the memory that each process may have, apart from mapped files."""

READ = """
import re, sys
from pathlib import Path
from project_export.repositories import Git, Repository
repository = Repository.open(Path(sys.argv[1]), sys.argv[2], Git(300))
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
before = peak()
with repository.bundle() as bundle:
    size = sum(map(len, bundle))
print(size, len(bundle.refs), peak() - before)
"""


def limited() -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT))


def measured(root: Path) -> tuple[int, int, int]:
    """Read a bundle within the limit; return its bytes, its refs, and by how many KiB the memory of its reader grew."""
    words = [sys.executable, "-c", READ, str(root), NAME]
    done = subprocess.run(words, preexec_fn=limited, capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stderr
    size, refs, growth = map(int, done.stdout.split())
    return size, refs, growth


@pytest.mark.slow
@pytest.mark.parametrize("packed", [False, True])
def test_a_large_file_needs_less_memory_than_it_has_bytes(tmp_path: Path, packed: bool) -> None:
    path = empty(tmp_path)
    git("update-ref", "refs/tags/large", blob(path, os.urandom(LIMIT + 20 * MB)), at=path)
    if packed:
        git("-c", "core.bigFileThreshold=16m", "repack", "-adq", at=path)
    words = ["git", f"--git-dir={path}", "bundle", "create", "--quiet", "-", "--all"]
    with Path(os.devnull).open("wb") as nothing:
        alone = subprocess.run(words, env=ENVIRONMENT, preexec_fn=limited, stdout=nothing, stderr=nothing, check=False)
    assert (alone.returncode == 0) == packed, "the limit has an effect"
    size, refs, growth = measured(tmp_path)
    assert size > LIMIT
    assert refs == 1
    assert growth < 8 << 10


@pytest.mark.slow
def test_many_similar_files_are_compared_within_the_limit(tmp_path: Path) -> None:
    path = empty(tmp_path)
    content = bytearray(os.urandom(8 * MB))
    for number in range(20):
        content[number] ^= 0xFF
        git("update-ref", f"refs/tags/{number}", blob(path, bytes(content)), at=path)
    size, refs, _ = measured(tmp_path)
    assert refs == 20
    assert size < 100 * MB


@pytest.mark.slow
def test_the_memory_for_refs_is_less_than_half_a_kilobyte_for_each(tmp_path: Path) -> None:
    path = empty(tmp_path)
    target = commit(path, b"x")
    names = "".join(f"{target} refs/merge-requests/{number:06}/head\n" for number in range(100_000))
    (path / "packed-refs").write_text(f"# pack-refs with: peeled fully-peeled sorted \n{names}")
    _, refs, growth = measured(tmp_path)
    assert refs == 100_000
    assert growth * 1024 / refs < 512


def test_the_memory_for_a_pack_that_is_checked_does_not_grow() -> None:
    reader = BundleReader()
    reader.feed(b"# v2 git bundle\n" + b"1" * 40 + b" refs/heads/main\n\nPACK")
    tracemalloc.start()
    for _ in range(64):
        reader.feed(bytes(MB))
    assert tracemalloc.get_traced_memory()[1] < 3 * MB
    tracemalloc.stop()
    assert reader.end()
