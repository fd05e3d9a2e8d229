"""Git bundles, LFS objects, and the memory that all takes."""

from __future__ import annotations

import hashlib
import io
import tracemalloc
from collections.abc import Sequence

import pytest

from project_export.archive.bundles import bundle_problems
from project_export.archive.findings import Findings
from project_export.archive.lfs import LfsObjects
from project_export.archive.verify import verify_file
from tests.unit.archive_files import BUNDLE, PACK, SHA, good_files, packed

ISSUES = "tree/project/issues.ndjson"


def sha256_bundle() -> bytes:
    head = f"# v3 git bundle\n@object-format=sha256\n{'0' * 64} refs/heads/main\n\n"
    return head.encode() + PACK + hashlib.sha256(PACK).digest()


@pytest.mark.parametrize("size", [1, 3, 64, 10_000])
@pytest.mark.parametrize("bundle", [BUNDLE, sha256_bundle()])
def test_a_whole_bundle_is_right_however_it_is_cut(bundle: bytes, size: int) -> None:
    assert bundle_problems(bundle[i : i + size] for i in range(0, len(bundle), size)) == []


@pytest.mark.parametrize("bundle", [BUNDLE, sha256_bundle()])
def test_every_truncation_of_a_bundle_is_found(bundle: bytes) -> None:
    for size in range(len(bundle)):
        assert bundle_problems([bundle[:size]])


@pytest.mark.parametrize(
    "bundle",
    [
        BUNDLE.replace(b"v2", b"v9"),
        BUNDLE.replace(b"refs/heads/main", b""),
        BUNDLE.replace(SHA.encode(), b"-" + SHA.encode(), 1),
        BUNDLE.replace(b"PACK", b"PICK"),
        BUNDLE[:-1] + b"\0",
        BUNDLE + b"\0",
        b"# v2 git bundle\n\n" + BUNDLE.partition(b"\n\n")[2],
    ],
)
def test_a_damaged_bundle_is_found(bundle: bytes) -> None:
    assert bundle_problems([bundle])


def lfs_problems(listed: dict[str, object] | None, stored: Sequence[tuple[str, bytes]]) -> list[str]:
    findings = Findings()
    objects = LfsObjects(findings)
    for name, content in stored:
        objects.file(f"lfs-objects/{name}", [content])
    if listed is not None:
        objects.listing(listed)
    objects.end()
    return [finding.where for finding in findings.problems(None)]


def test_lfs_objects_are_what_their_names_and_the_list_say() -> None:
    oid, other = hashlib.sha256(b"x").hexdigest(), hashlib.sha256(b"y").hexdigest()
    stored = [(oid, b"x")]
    assert lfs_problems({oid: [0, None]}, stored) == []
    assert lfs_problems(None, stored) == []
    assert lfs_problems({oid: [0], other: [1]}, stored) == ["lfs-objects.json"]
    assert lfs_problems({}, stored) == ["lfs-objects.json"]
    assert lfs_problems({oid: [0]}, [(oid, b"y")]) == [f"lfs-objects/{oid}"]
    assert lfs_problems({}, [(f"ab/{oid[2:]}", b"x")]) == [f"lfs-objects/ab/{oid[2:]}"]
    for types in (0, ["0"], [True], [3], [0.0], {}, None):
        assert lfs_problems({oid: types}, stored) == ["lfs-objects.json"]


@pytest.mark.heavy
def test_memory_does_not_grow_with_the_archive() -> None:
    line = b'{"title":"%s","iid":' % (b"x" * 1000)
    records = b"".join(line + b"%d}\n" % number for number in range(20_000))
    data = packed({**good_files(), ISSUES: records, f"uploads/{'0' * 32}/x": records})
    verify_file(io.BytesIO(data), "project.tar.gz")
    tracemalloc.start()
    report = verify_file(io.BytesIO(data), "project.tar.gz")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert report.ok
    assert report.unpacked > 39 << 20 > 10 * peak
