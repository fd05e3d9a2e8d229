"""Times, dates and floats are exported as Rails writes them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest

from project_export.source import Limits, Reader, Session
from project_export.tree import bind, load, tables

TREE = """
name: times
root: {relation: one, table: ones, keys: [at, atz, day, f]}
relations:
  - relation: pairs
    table: pairs
    join: {one_id: id}
    order: [id]
    keys: [{first: {column: first, else: second}}, second, {again: {column: second, else: first}}, day]
"""
ONES = """
CREATE TABLE ones AS SELECT 1 AS id, %s::timestamp AS at, %s::timestamptz AS atz, %s::date AS day, %s::float8 AS f;
CREATE TABLE pairs (id int, one_id int, first timestamp, second timestamp, day date)
"""
PAIRS = """
CREATE TABLE ones AS SELECT 1 AS id, now() AS at, now() AS atz, current_date AS day, 0.5 AS f;
CREATE TABLE pairs (id int, one_id int, first {0}, second {0}, day date);
INSERT INTO pairs
SELECT id, 1, first::{0}, second::{0}, second::date
FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS t(first, second, id)
"""
SHOWN: list[tuple[str | None, str | None, str | None]] = [
    ("2016-06-14 15:02:08.3409", "2016-06-14T15:02:08.340Z", "2016-06-14"),
    ("9999-12-31 23:59:59.999999", "9999-12-31T23:59:59.999Z", "9999-12-31"),
    ("10000-01-01", "10000-01-01T00:00:00.000Z", "10000-01-01"),
    ("0001-01-01", "0001-01-01T00:00:00.000Z", "0001-01-01"),
    ("0001-12-31 BC", "0000-12-31T00:00:00.000Z", "0000-12-31"),
    ("0044-03-15 01:02:03.0045 BC", "-0043-03-15T01:02:03.004Z", "-0043-03-15"),
    ("infinity", None, None),
    ("-infinity", None, None),
    (None, None, None),
]
"""Times, how they are exported, and their dates."""


def read(database: str, folder: Path, name: str, sql: str, values: Sequence[Any], zone: str = "UTC") -> list[str]:
    """Return the records of a relation, after some SQL with values."""
    with psycopg.ClientCursor(psycopg.connect(database, autocommit=True)) as cursor:
        cursor.execute("SET TimeZone = 'UTC'")
        cursor.execute(sql.encode(), values)
    (folder / "tree.yaml").write_text(TREE)
    tree = load(str(folder / "tree.yaml"))
    with Session(lambda: psycopg.connect(database), "test", Limits(), zone=zone) as session:
        reader = Reader(session, bind(tree, session.catalogue(tables(tree))), 1)
        return b"".join(chunk.data for chunk in reader.read(name)).decode().splitlines()


@pytest.mark.parametrize(("value", "shown", "date"), SHOWN)
def test_times_are_exported_as_rails_writes_them(
    database: str, tmp_path: Path, value: str | None, shown: str | None, date: str | None
) -> None:
    (one,) = read(database, tmp_path, "one", ONES, (value, value, value, 1))
    assert json.loads(one) == {"at": shown, "atz": shown, "day": date, "f": 1}


@pytest.mark.parametrize("kind", ["timestamp", "timestamptz"])
def test_times_are_exported_alike_whether_they_equal_others_of_their_row_or_not(
    database: str, tmp_path: Path, kind: str
) -> None:
    pairs = list(itertools.product(SHOWN, repeat=2))
    values = [one[0] for one, _ in pairs], [other[0] for _, other in pairs]
    assert list(map(json.loads, read(database, tmp_path, "pairs", PAIRS.format(kind), values))) == [
        {"first": first or second, "second": second, "again": second or first, "day": day}
        for (_, first, _), (_, second, day) in pairs
    ]


def test_times_are_exported_in_the_chosen_zone(database: str, tmp_path: Path) -> None:
    values = ("2024-07-01 12:00:00.5", "2024-01-01 12:00:00 UTC", "2024-01-01", 0)
    (one,) = read(database, tmp_path, "one", ONES, values, zone="Asia/Kolkata")
    assert json.loads(one) == {
        "at": "2024-07-01T17:30:00.500+05:30",
        "atz": "2024-01-01T17:30:00.000+05:30",
        "day": "2024-01-01",
        "f": 0,
    }


def test_equal_times_are_exported_in_the_chosen_zone(database: str, tmp_path: Path) -> None:
    values = ["2024-07-01 12:00:00.5"], ["2024-07-01 12:00:00.5"]
    (one,) = read(database, tmp_path, "pairs", PAIRS.format("timestamp"), values, zone="Asia/Kolkata")
    shown = "2024-07-01T17:30:00.500+05:30"
    assert json.loads(one) == {"first": shown, "second": shown, "again": shown, "day": "2024-07-01"}


@pytest.mark.parametrize(
    ("value", "shown"),
    [("100", "100.0"), ("-0", "-0.0"), ("0.1", "0.1"), ("1e20", "1e+20"), ("NaN", "null"), ("-Infinity", "null")],
)
def test_floats_keep_their_fraction_and_nan_is_null(database: str, tmp_path: Path, value: str, shown: str) -> None:
    (one,) = read(database, tmp_path, "one", ONES, (None, None, None, value))
    assert one.endswith(f'"f":{shown}}}')
