"""Records written by hand for rows as GitLab stores them: engine and second reader must produce the same bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests import specimen
from tests.reader import read_project
from tests.reader.values import line

FOLDER = Path(__file__).resolve().parents[1] / "golden" / "by_hand"
PLACES = {
    "issue": ("issues", b"", b"\n"),
    "diff_note": ("merge_requests", b'"notes":[', b'],"merge_request_diff":'),
    "merge_request_diff_file": ("merge_requests", b'"merge_request_diff_files":[', b"]}"),
}
"""By name of a record: the relation whose only record contains it, and the bytes around it there."""


def of_engine(database: str, relation: str) -> bytes:
    return specimen.export(database)[1][relation]


def of_reader(database: str, relation: str) -> bytes:
    with psycopg.connect(database) as conn:
        return b"".join(line(record) for record in read_project(conn, 1)[relation])


@pytest.mark.parametrize("produce", [pytest.param(of_engine, id="engine"), pytest.param(of_reader, id="reader")])
@pytest.mark.parametrize("name", PLACES)
def test_a_record_equals_the_one_written_by_hand(
    sample_database: str, name: str, produce: Callable[[str, str], bytes]
) -> None:
    relation, before, after = PLACES[name]
    expected = (FOLDER / f"{name}.json").read_bytes().rstrip(b"\n")
    with psycopg.connect(sample_database) as conn:
        conn.execute("SET session_replication_role = replica")  # rows that these refer to are missing
        conn.execute((FOLDER / f"{name}.sql").read_bytes())
    found = produce(sample_database, relation)
    assert found.count(b"\n") == 1
    start = found.index(before) + len(before)
    assert found[start : found.index(after, start)] == expected


def test_every_file_is_compared():
    assert {file.stem for file in FOLDER.iterdir()} == PLACES.keys()
