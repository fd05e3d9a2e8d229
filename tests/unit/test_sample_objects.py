"""Git objects and packs that are made without git, compared with what git makes of the same content."""

from __future__ import annotations

import subprocess
from datetime import datetime, timezone
from pathlib import Path

import pytest

from project_export.sample.contents import image, lines, noise
from project_export.sample.objects import Objects, Person, Signature, object_id
from project_export.sample.pack import IN_MEMORY, Pack
from tests.sample_repositories import ENVIRONMENT, git

AT = datetime(2020, 2, 29, 23, 59, 59, 999_999, tzinfo=timezone.utc)
ZOE = Signature(Person("Zoë “Z”", "zoe@example.com"), AT)
NOBODY = Signature(Person("", ""), AT.replace(year=1996))
NAMES = ("a", "a.b/c", "a0", "a/z", "“ü” 🚀", "-rf/..hidden", "b\\c'd\"e")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path / "r.git", "init", "--quiet", "--bare")
    return tmp_path / "r.git"


def fed(repository: Path, content: bytes, *arguments: str, **more: str) -> str:
    """Return what git prints for this input."""
    done = subprocess.run(
        ["git", f"--git-dir={repository}", *arguments],
        input=content, env={**ENVIRONMENT, **more}, capture_output=True, check=True,
    )  # fmt: skip
    return done.stdout.decode().strip()


def identity(role: str, signature: Signature) -> dict[str, str]:
    moment = f"{int(signature.at.timestamp())} +0000"
    return {
        f"GIT_{role}_NAME": signature.by.name,
        f"GIT_{role}_EMAIL": signature.by.email,
        f"GIT_{role}_DATE": moment,
    }


def test_ids_are_those_that_git_gives(repository):
    objects = Objects()
    files, listed = None, []
    for name in (name for name in NAMES if name != "a"):  # `a` is a folder here
        content = f"content of {name}\n".encode()
        blob = objects.blob(content)
        assert fed(repository, content, "hash-object", "-w", "--stdin") == blob
        files = objects.with_file(files, name, blob)
        listed.append(f"100644 {blob} 0\t{name}\0".encode())
    assert files
    fed(repository, b"".join(listed), "update-index", "-z", "--index-info", GIT_INDEX_FILE=str(repository / "index"))
    assert fed(repository, b"", "write-tree", GIT_INDEX_FILE=str(repository / "index")) == files.id
    people = identity("AUTHOR", ZOE) | identity("COMMITTER", Signature(Person("C", "c@example.com"), AT))
    first = objects.commit([], files, ZOE, "Message\n\nmore", Signature(Person("C", "c@example.com"), AT))
    assert fed(repository, b"Message\n\nmore", "commit-tree", files.id, **people) == first.id
    second = objects.commit([first], files, ZOE, "Message\n\nmore", Signature(Person("C", "c@example.com"), AT))
    assert fed(repository, b"Message\n\nmore", "commit-tree", files.id, "-p", first.id, **people) == second.id
    tag = objects.tag("v1", first, ZOE, "Tagged")
    raw = f"object {first.id}\ntype commit\ntag v1\ntagger {ZOE}\n\nTagged\n"
    assert fed(repository, raw.encode(), "mktag") == tag


def test_a_file_can_be_replaced_and_removed_and_empty_folders_go():
    objects = Objects()
    one, two = objects.blob(b"1"), objects.blob(b"2")
    files = objects.with_file(objects.with_file(None, "a/b/c", one), "d", one)
    changed = objects.with_file(files, "a/b/c", two)
    assert changed.id != files.id
    assert objects.with_file(changed, "a/b/c", one) == files
    assert objects.without_file(files, "a/b/c") == objects.with_file(None, "d", one)
    more = objects.with_file(files, "a/b/e", two)
    assert objects.without_file(more, "a/b/e") == files


def test_merged_folders_have_the_files_of_both():
    objects = Objects()
    one, two = objects.blob(b"1"), objects.blob(b"2")
    start = objects.with_file(objects.with_file(None, "a/x", one), "same/y", one)
    mine, other = objects.with_file(start, "a/mine", two), objects.with_file(start, "a/x", two)
    merged = objects.merged(mine, other)
    assert merged == objects.with_file(mine, "a/x", two)
    assert objects.merged(start, start) is start


def test_an_object_is_stored_once_and_borrowed_ones_never():
    class Sink(list):
        def add(self, kind: str, content: bytes) -> None:
            self.append((kind, content))

    sink = Sink()
    objects = Objects(sink, borrowed=[object_id("blob", b"there")])
    for content in (b"there", b"new", b"new"):
        objects.blob(content)
    assert sink == [("blob", b"new")]


@pytest.mark.parametrize("size", [0, 1, 15, 16, 2047, 2048, IN_MEMORY + 1])
def test_git_reads_objects_of_every_size_from_a_pack(repository, tmp_path, size):
    pack = Pack(tmp_path)
    objects = Objects(pack)
    content = lines("log", size)[:size]
    blob = objects.blob(content)
    commit = objects.commit([], objects.with_file(None, "file", blob), NOBODY, "x")
    large = pack.add_large(size, noise("large", size))
    written = pack.write(repository / "objects" / "pack")
    pack.close()
    assert fed(repository, b"", "index-pack", str(written)) == written.stem.removeprefix("pack-")
    assert int(git(repository, "cat-file", "-s", blob)) == int(git(repository, "cat-file", "-s", large)) == size
    assert git(repository, "fsck", "--strict", "--no-dangling", commit.id) == ""
    assert pack.count == 4
    assert [path.name for path in tmp_path.iterdir()] == ["r.git"]


def test_a_commit_of_nobody_has_no_name_and_no_address():
    assert str(NOBODY) == f" <> {int(NOBODY.at.timestamp())} +0000"


def test_contents_are_of_their_seed_and_size():
    assert b"".join(noise(1, 5)) == b"".join(noise("1", 5)) != b"".join(noise(2, 5))
    assert [len(chunk) for chunk in noise(1, (1 << 20) + 3)] == [1 << 20, 3]
    assert list(noise(1, 0)) == []
    assert 3000 <= len(lines(1, 3000)) < 3100
    assert image(1) == image("1") != image(2)
