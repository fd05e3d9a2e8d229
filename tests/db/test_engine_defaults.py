"""What replaces missing values: a record for a missing row, a default for white space alone."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from project_export.errors import TreeError
from project_export.external import Locations
from project_export.source import Limits, Reader, Session
from project_export.tree import bind, load, tables

TREE = """
name: garden
root: {relation: garden, table: gardens, keys: [id]}
relations:
  - relation: beds
    table: beds
    join: {garden_id: id}
    keys: [name]
    children:
      - relation: plan
        table: plans
        one: true
        join: {bed_id: id}
        default: {"the state": "<new>", size: 0}
        keys: [{"the state": {column: state}}, size, {colour: {last: true}}, made_at]
        children:
          - {relation: rows, table: rows, join: {plan_id: id}, keys: [note]}
          - {relation: tree, table: rows, one: true, join: {id: tree_id}, keys: [note]}
      - relation: notes
        table: rows
        join: {bed_id: id}
        keys:
          - note:
              transform: base64_text
              when: packed
              blank: true
              default: ""
              elsewhere:
                {location: shelf, offset: at, size: size, from: files, match: {id: file_id}, file: "{name}"}
          - bare: {column: note, blank: true}
locations: {shelf: notes}
"""
SQL = """
CREATE TABLE gardens AS SELECT 1 AS id;
CREATE TABLE beds AS SELECT id, 1 AS garden_id, 'bed ' || id AS name FROM generate_series(1, 2) AS id;
CREATE TABLE plans (id int, bed_id int, state text, size int, colour text, made_at timestamp, tree_id int);
INSERT INTO plans VALUES (1, 1, 'old', 7, 'red', NULL, NULL);
CREATE TABLE files AS SELECT 1 AS id, 'file' AS name;
CREATE TABLE rows (id serial, bed_id int, plan_id int, note text, packed bool, at int, size int, file_id int);
"""
SPACES = " \t\n\v\f\r\u0085\u00a0\u1680\u2000\u200a\u2028\u2029\u202f\u205f\u3000"


def records(
    database: str, tree: Path, locations: Locations | None = None, allowed: Iterable[str] = ()
) -> list[dict[str, Any]]:
    loaded = load(str(tree))
    with Session(lambda: psycopg.connect(database), "test", Limits()) as session:
        bound = bind(loaded, session.catalogue(tables(loaded)), allowed=allowed)
        reader = Reader(session, bound, 1, locations=locations)
        return [json.loads(line) for chunk in reader.read("beds") for line in chunk.data.split(b"\n")[:-1]]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    path = tmp_path / "garden.yaml"
    path.write_text(TREE)
    return path


def test_a_missing_row_is_exported_as_its_default_with_every_key_in_its_place(database: str, tree: Path) -> None:
    with psycopg.connect(database) as conn:
        conn.execute(SQL)
    there, missing = (record["plan"] for record in records(database, tree))
    assert missing == {"the state": "<new>", "size": 0, "made_at": None, "rows": [], "colour": None}
    assert list(missing) == list(there) == ["the state", "size", "made_at", "rows", "colour"]


def test_a_default_has_no_key_that_the_source_lacks(database: str, tree: Path) -> None:
    tree.write_text(TREE.replace("name: garden", "name: garden\nschema: garden.tsv", 1))
    with psycopg.connect(database) as conn:
        conn.execute(SQL)
        known = conn.execute(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
        )
        rows = [("table", "column"), *known.fetchall()]
        tree.with_suffix(".tsv").write_text("".join(f"{table}\t{column}\n" for table, column in rows))
        conn.execute("ALTER TABLE plans DROP size, DROP made_at")
    allowed = ["plans.size", "plans.made_at"]
    assert records(database, tree, allowed=allowed)[1]["plan"] == {"the state": "<new>", "rows": [], "colour": None}


@pytest.mark.parametrize(
    ("stored", "note", "bare"),
    [
        (None, "", None),
        ("", "", None),
        (SPACES, "", None),
        (f"{SPACES}x", f"{SPACES}x", f"{SPACES}x"),
        ("x ", "x ", "x "),
        ("\u200b", "\u200b", "\u200b"),  # no white space, as Unicode has it
        ("\x1c", "\x1c", "\x1c"),
        ("\\", "\\", "\\"),
    ],
)
def test_white_space_alone_counts_as_null(database: str, tree: Path, stored: str, note: str, bare: str) -> None:
    with psycopg.connect(database) as conn:
        conn.execute(SQL)
        conn.execute("INSERT INTO rows (bed_id, note) VALUES (1, %s)", [stored])
    assert records(database, tree)[0]["notes"] == [{"note": note, "bare": bare}]


@pytest.mark.parametrize(
    ("content", "packed", "note"), [(b" \xc2\xa0\n", False, ""), (b"IAo=", True, ""), (b" x", False, " x")]
)
def test_white_space_alone_in_base64_or_in_a_file_counts_as_null(
    database: str, tree: Path, tmp_path: Path, content: bytes, packed: bool, note: str
) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "file").write_bytes(content)
    with psycopg.connect(database) as conn:
        conn.execute(SQL)
        conn.execute(
            "INSERT INTO rows (bed_id, packed, at, size, file_id, note) VALUES (1, %s, 0, %s, 1, NULL),"
            " (1, %s, NULL, NULL, NULL, %s)",
            [packed, len(content), packed, content.decode()],
        )
    shelf = Locations({"shelf": str(tmp_path / "store")})
    assert [record["note"] for record in records(database, tree, shelf)[0]["notes"]] == [note, note]
    shelf.close()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("one: true\n        join: {bed_id", "join: {bed_id", r"default is for a nested relation of one"),
        ("size: 0}", "sise: 0}", r"garden\.yaml:14: key sise is unknown; nearest: size"),
        ('"<new>", size: 0}', '"<new>", size: .nan}', r"garden\.yaml:14: JSON has no such value"),
        (
            "    keys: [name]\n",
            "    keys: [name]\n    default: {name: x}\n",
            r"default is for a nested relation of one",
        ),
        ("blank: true}", "blank: maybe}", r"this must be true or false; got 'maybe'"),
    ],
)
def test_a_default_without_effect_is_refused(tree: Path, tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in TREE
    wrong = tmp_path / "wrong" / "garden.yaml"
    wrong.parent.mkdir()
    wrong.write_text(TREE.replace(old, new))
    with pytest.raises(TreeError, match=message):
        load(str(wrong))
