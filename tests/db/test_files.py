"""Relations of files: every file arrives byte by byte, split or not; what does not arrive is reported by its name."""

from __future__ import annotations

import hashlib
import json
import os
import random
import tarfile
from pathlib import Path

import pytest

from project_export.errors import FilesMissing, RelationsFailed
from tests.attic import Attic, Exported
from tests.runs import merge, started, worker

MIB = 1 << 20


@pytest.fixture
def attic(database: str, ledger_dsn: str, tmp_path: Path) -> Attic:
    return Attic(database, ledger_dsn, tmp_path).make()


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def parts(exported, relation="things"):
    return [row for row in exported.ctx.ledger.queries.rows(exported.job_id) if row.relation == relation]


@pytest.mark.parametrize("consistency", ["project", "relation"])
def test_every_file_arrives_as_it_is(attic, consistency):
    attic.add("empty", b"")
    attic.add("one", b"1")
    attic.add("block", b"b" * 512)
    attic.add("in a folder/ö and #%.txt", b"text\n" * 100_000)
    attic.add("moved", b"elsewhere", at="old/moved")
    attic.add("noise", noise(300_000), digest=False)
    attic.add("x" * 255, b"long name")
    exported = attic.export(consistency=consistency)
    assert exported.contents("things/") == attic.things
    assert exported.merged.omissions == ()
    assert exported.merged.records == 2 + len(attic.things)
    (relation,) = (one for one in exported.manifest.relations if one.relation == "things")
    contents = exported.contents()
    assert {file.name: file.ranges[0].sha256 for file in relation.files} == {
        name: hashlib.sha256(contents[name]).hexdigest()
        for name in (*map("things/{}".format, attic.things), "things.json")
    }


def test_many_parts_share_the_files_and_cut_the_large_ones(attic):
    attic.add("large", noise(12 * MIB), kind=1)
    for number in range(200):
        attic.add(f"small/{number}", noise(number * 97, number), kind=2)
    attic.add("text", b"compressible " * 300_000, kind=3)
    exported = attic.export(units=4)
    rows = parts(exported)
    assert len(rows) == 16
    assert exported.contents("things/") == attic.things
    assert sum(row.records for row in rows) == 202
    (relation,) = (one for one in exported.manifest.relations if one.relation == "things")
    ranges = {file.name: [one.bytes for one in file.ranges] for file in relation.files}
    assert len(ranges["things/large"]) > 4
    assert sum(ranges["things/large"]) == 12 * MIB
    assert all(len(found) == 1 for name, found in ranges.items() if name.startswith("things/small"))


def test_compressed_files_are_stored_and_others_are_compressed(attic):
    attic.add("noise", noise(4 * MIB))
    attic.add("text", b"compressible " * 300_000)
    exported = attic.export(part_bytes=1 << 30)
    (row,) = parts(exported)
    overhead = row.stored_bytes - 4 * MIB
    assert 0 < overhead < 100_000
    assert exported.contents("things/") == attic.things


def test_the_index_lists_the_files_with_the_values_of_all_their_rows(attic):
    attic.add("a", b"1", kind=0)
    attic.row("a", 1, hashlib.sha256(b"1").hexdigest(), 2)
    attic.row("a", 1, hashlib.sha256(b"1").hexdigest(), 2)
    attic.add("b", b"2")
    exported = attic.export()
    assert json.loads(exported.contents()["things.json"]) == {"a": [0, 2], "b": [None]}


def test_a_source_without_files_has_an_empty_index_and_no_folder(attic):
    exported = attic.export()
    assert exported.contents() == {
        "tree/attic.json": b'{"name":"under the roof"}',
        "things.json": b"{}",
        "tree/attic/notes.ndjson": b'{"text":"mind the beam"}\n',
    }
    with tarfile.open(exported.path) as tar:
        assert [member.name for member in tar if member.isdir()] == [".", "./tree", "./tree/attic"]


BAD = {
    "missing": lambda attic: attic.row("missing", 5),
    "shorter": lambda attic: (attic.add("shorter", b"12345"), (attic.boxes / "shorter").write_bytes(b"1234")),
    "longer": lambda attic: (attic.add("longer", b"12345"), (attic.boxes / "longer").write_bytes(b"123456")),
    "altered": lambda attic: (attic.add("altered", b"12345"), (attic.boxes / "altered").write_bytes(b"12346")),
    "altered large": lambda attic: (
        attic.add("altered large", noise(10 * MIB)),
        (attic.boxes / "altered large").write_bytes(noise(10 * MIB - 1) + b"?"),
    ),
    "missing large": lambda attic: attic.row("missing large", 12 * MIB),
}


@pytest.mark.parametrize("name", BAD)
def test_a_missing_or_altered_file_fails_its_relation_and_all_are_named(attic, name):
    attic.add("whole", noise(9 * MIB, 7))
    BAD[name](attic)
    attic.row("missing too", 1)
    with pytest.raises(RelationsFailed) as caught:
        attic.export()
    message = str(caught.value)
    assert f"things/{name}" in message or "things/missing too" in message
    assert "PROJECT_EXPORT_MISSING_FILES=report" in message
    assert FilesMissing.__name__ in {failure.code for failure in caught.value.failures}


@pytest.mark.parametrize("name", BAD)
def test_a_missing_or_altered_file_can_be_left_out_and_is_reported(attic, name):
    attic.add("whole", noise(9 * MIB, 7))
    BAD[name](attic)
    del attic.things[name if name in attic.things else "whole"]
    exported = attic.export(missing_files="report")
    contents = exported.contents("things/")
    assert name not in contents
    assert hashlib.sha256(contents["whole"]).digest() == hashlib.sha256(noise(9 * MIB, 7)).digest()
    (relation,) = (one for one in exported.manifest.relations if one.relation == "things")
    assert [file.name for file in relation.missing] == [f"things/{name}"]
    (omission,) = exported.merged.omissions
    assert omission.startswith("1 file(s) left out: ")
    assert set(json.loads(exported.contents()["things.json"])) == {"whole"}


HOSTILE = [
    "../outside", "/etc/passwd", "a/../../b", "a//b", ".", "a/./b", "C:\\autoexec.bat", "a\\b", "new\nline",
    "tab\there", "y" * 256, "z/" * 2100 + "z",
]  # fmt: skip
"""Names that lead out of the folder of the relation, or that not every system can unpack."""


def test_names_that_are_not_safe_are_left_out_and_reported(attic):
    (attic.folder / "outside").write_bytes(b"secret")
    for name in HOSTILE:
        attic.row(name, 6)
    for name in ("safe", "C:", "~root", "$(touch x); `y`", "trailing dot.", "\N{PILE OF POO}"):
        attic.add(name, name.encode())
    safe = dict(attic.things)
    attic.add("Safe", b"SAFE")
    exported = attic.export()
    assert exported.contents("things/") == safe
    (relation,) = (one for one in exported.manifest.relations if one.relation == "things")
    assert sorted(file.name for file in relation.missing) == sorted(f"things/{name}" for name in [*HOSTILE, "Safe"])
    assert {file.why for file in relation.missing if file.name == "things/Safe"} == {
        "another file has the same name, apart from case"
    }
    assert sum(int(text.split()[0]) for text in exported.merged.omissions) == len(HOSTILE) + 1


def test_links_pipes_and_devices_are_neither_followed_nor_opened(attic):
    (attic.folder / "outside").write_bytes(b"secret")
    (attic.boxes / "link").symlink_to(attic.folder / "outside")
    (attic.boxes / "folder").symlink_to(attic.folder)
    (attic.boxes / "directory").mkdir()
    os.mkfifo(attic.boxes / "pipe")
    for name in ("link", "folder/outside", "pipe", "directory"):
        attic.row(name, 6)
    attic.add("safe", b"safe")
    exported = attic.export()
    assert exported.contents("things/") == {"safe": b"safe"}
    assert exported.merged.omissions == (
        "4 file(s) left out: it is a link, a device or a pipe, which are not followed or opened",
    )


def test_without_a_location_every_file_is_an_omission(attic):
    attic.add("a", b"1")
    attic.add("b", b"2")
    exported = attic.export(locations="")
    assert exported.contents("things/") == {}
    assert exported.merged.omissions == (
        "2 file(s) left out: the setting PROJECT_EXPORT_LOCATIONS has no location boxes",
    )


def test_a_file_that_appears_between_two_parts_is_read_again(attic):
    """Some parts saw that it was missing, others did not; the merge notices that and exports them again."""
    attic.row("late", 12 * MIB)
    data = noise(12 * MIB)
    ctx = attic.context(missing_files="report", units=1)
    created = started(ctx)
    (row,) = (row for row in ctx.ledger.queries.rows(created.job_id) if (row.relation, row.part) == ("things", 0))
    assert row.parts == 4
    ctx.ledger.claims.requeue([row.id], "comes first")
    only = worker(ctx, created)
    finish = ctx.ledger.claims.finish

    def finished(claim, *rest):
        finish(claim, *rest)
        if claim.relation == "things":
            (attic.boxes / "late").write_bytes(data)

    ctx.ledger.claims.finish = finished
    only.run()
    exported = Exported(ctx, created.job_id, merge(ctx, created))
    assert exported.contents("things/") == {"late": data}
    assert exported.merged.omissions == ()
