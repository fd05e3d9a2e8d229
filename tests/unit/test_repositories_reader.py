"""A bundle is read as a stream: whatever is damaged, cut short or left out is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from project_export.repositories import BundleReader, reader
from tests.repositories import filled, git, refs

pytestmark = pytest.mark.heavy


def bundle(folder: Path, object_format: str = "sha1", *words: str) -> bytes:
    path = filled(folder, "source.git", object_format)
    git("bundle", "create", "--quiet", folder / "x.bundle", *(words or ["--all"]), at=path)
    return (folder / "x.bundle").read_bytes()


def problems(content: bytes, size: int = 1 << 20) -> list[str]:
    return read(content, size).end()


def read(content: bytes, size: int = 1 << 20) -> BundleReader:
    found = BundleReader()
    for start in range(0, len(content), size):
        found.feed(content[start : start + size])
    return found


@pytest.mark.parametrize("size", [1, 7, 19, 20, 21, 32, 33, 1000, 1 << 20])
@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
def test_a_whole_bundle_is_right_however_it_is_cut(tmp_path: Path, object_format: str, size: int) -> None:
    content = bundle(tmp_path, object_format)
    found = read(content, size)
    assert found.end() == []
    assert found.refs == {**refs(tmp_path / "source.git"), "HEAD": refs(tmp_path / "source.git")["refs/heads/main"]}
    assert (found.version, found.object_format) == ((2, "sha1") if object_format == "sha1" else (3, "sha256"))
    assert found.size == len(content)


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
def test_every_truncation_and_every_changed_byte_of_the_pack_is_found(tmp_path: Path, object_format: str) -> None:
    content = bundle(tmp_path, object_format)
    pack = content.index(b"PACK")
    for size in range(len(content)):
        assert problems(content[:size]), size
        if size >= pack:
            assert problems(content[:size] + bytes([content[size] ^ 1]) + content[size + 1 :]), size
    assert problems(content + b"x")


def test_what_a_bundle_lacks_is_found(tmp_path: Path) -> None:
    content = bundle(tmp_path)
    head, pack = content.split(b"\n\nPACK", 1)
    signature, *lines = head.split(b"\n")
    ref = lines[0]

    def made(*header: bytes) -> list[str]:
        return problems(b"\n".join(header) + b"\n\nPACK" + pack)

    assert made(signature, ref) == []
    assert made(b"# v3 git bundle", b"@object-format=sha1", ref) == []
    assert made(signature) == ["it has no refs"]
    assert made(signature, b"-" + ref, ref) == ["it needs commits that it does not contain"]
    assert made(b"# v3 git bundle", b"@filter=blob:none", ref) == ["it lacks objects: it was made with a filter"]
    assert made(b"# v3 git bundle", b"@magic", ref) == ["its list of capabilities is not known here"]
    assert made(b"# v3 git bundle", b"@object-format=md5", ref) == ["its list of capabilities is not known here"]
    assert made(b"# v3 git bundle", ref, b"@object-format=sha1") == ["its list of capabilities is not known here"]
    assert made(signature, b"@object-format=sha1", ref) == ["its list of capabilities is not known here"]
    for line in (b"x", ref[1:], ref[:40], b"0" + ref, ref.upper().replace(b" ", b"  ", 1)):
        assert made(signature, line) == ["its list of refs is damaged"], line
    assert made(signature, ref, ref) == ["its list of refs is damaged"]
    assert made(b"# v4 git bundle", ref) == made(b"<html>") == ["it does not start like a bundle"]
    assert problems(b"") == ["it does not start like a bundle"]
    assert problems(b"\n\n") == ["it does not start like a bundle"]
    assert problems(head) == ["it ends within its list of refs"]
    assert problems(head + b"\n\n") == problems(head + b"\n\nPUCK" + pack)


def test_a_bundle_with_commits_left_out_is_not_whole(tmp_path: Path) -> None:
    content = bundle(tmp_path, "sha1", "main~..main")
    assert problems(content) == ["it needs commits that it does not contain"]


def test_the_memory_for_a_header_without_end_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    found = BundleReader()
    found.feed(b"# v2 git bundle\n")
    for _ in range(100):
        found.feed(b"x" * 10_000)
    assert len(found._rest) < reader.LONGEST_LINE + 10_001
    assert found.end() == ["its list of refs is damaged or too long"]
    monkeypatch.setattr(reader, "LONGEST_HEADER", 10_000)
    found = BundleReader()
    found.feed(b"# v2 git bundle\n")
    for number in range(1000):
        found.feed(f"{number:040x} refs/heads/{number}\n".encode())
    assert len(found.refs) < 250
    assert found.end() == ["its list of refs is damaged or too long"]
