"""Records by their merge keys: found without reading a large record, and never mixed up."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from project_export.archive import keyed
from project_export.archive.keyed import lines
from project_export.archive.replacements import Replacements
from project_export.errors import ArchiveBroken

RECORDS = [
    {"iid": 1234567, "title": 'a "quoted", {text} \u00e9\U0001f600', "notes": [{"iid": 7}]},
    {"title": "x" * 300, "iid": None, "at": -1.5e3},
    {"iid": "text", "title": ["nested", {"iid": 1}], "last": True},
]
DATA = "".join(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n" for record in RECORDS).encode()


@pytest.mark.parametrize("in_memory", [1, 7, 50, 4 << 20])
@pytest.mark.parametrize("step", [1, 3, 64, 1 << 20])
def test_records_and_keys_do_not_depend_on_sizes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, in_memory: int, step: int
) -> None:
    monkeypatch.setattr(keyed, "_IN_MEMORY", in_memory)
    chunks = (DATA[at : at + step] for at in range(0, len(DATA), step))
    found = [(line.key(["iid", "title"]), b"".join(line.blocks())) for line in lines(chunks, tmp_path)]
    assert [key for key, _ in found] == [
        json.dumps([record["iid"], record["title"]], ensure_ascii=False) for record in RECORDS
    ]
    assert b"".join(data for _, data in found) == DATA


@pytest.mark.parametrize("in_memory", [10, 4 << 20])
@pytest.mark.parametrize("data", [b'{"title":"without the key, and long enough"}\n', b"[1,2,3,4,5,6,7,8,9]\n"])
def test_a_record_without_its_key_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, in_memory: int, data: bytes
) -> None:
    monkeypatch.setattr(keyed, "_IN_MEMORY", in_memory)
    (line,) = (line for line in lines([data], tmp_path))
    with pytest.raises(ArchiveBroken, match="lacks the merge key iid"):
        next(iter(lines([data], tmp_path))).key(["iid"])
    line.close()


def test_a_large_record_takes_little_memory(tmp_path: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield b'{"iid":1,"notes":["'
        for _ in range(400):
            yield bytes(100_000).replace(b"\0", b"x")
        yield b'"]}\n'

    tracemalloc.start()
    try:
        for line in lines(chunks(), tmp_path):
            assert line.key(["iid"]) == "[1]"
            assert sum(map(len, line.blocks())) > 40_000_000
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


# Several records with the same key.


def record(text: str) -> bytes:
    return b'{"key":1,"text":"%s"}\n' % text.encode()


def merged(folder: Path, base: str, *deltas: str) -> str:
    """Merge records that all have the same key; each letter is one record."""
    with Replacements(folder) as new:
        for number, delta in enumerate(deltas):
            new.add_records(number, "items", lines(map(record, delta), folder), ["key"])
        found = []
        for one in base:
            blocks = new.replacing("items", "[1]")
            found.append(record(one) if blocks is None else b"".join(blocks))
        found += [b"".join(blocks) for blocks in new.added("items")]
    return "".join(json.loads(one)["text"] for one in found)


@pytest.mark.parametrize(
    ("base", "deltas", "expected"),
    [
        ("a", [], "a"),
        ("ab", [], "ab"),
        ("", ["x"], "x"),
        ("a", ["x", "y"], "y"),
        ("ab", ["xy"], "xy"),
        ("a", ["xy"], "xy"),
        ("a", ["x", "yz"], "yz"),
    ],
)
def test_the_newest_records_replace_as_many(tmp_path: Path, base: str, deltas: list[str], expected: str) -> None:
    assert merged(tmp_path, base, *deltas) == expected


@pytest.mark.parametrize(("base", "deltas"), [("ab", ["x"]), ("a", ["xy", "z"]), ("abc", ["x", "yz"])])
def test_fewer_records_with_the_same_key_are_refused(tmp_path: Path, base: str, deltas: list[str]) -> None:
    with pytest.raises(ArchiveBroken, match=r"items: several records have the merge key \[1\], and a later"):
        merged(tmp_path, base, *deltas)
