"""Values that are too large to be held are changed in pieces, with the same result as whole ones."""

from __future__ import annotations

import base64
from pathlib import Path

import psycopg
import pytest

from project_export.errors import SourceRefused, TemporaryRefused
from project_export.external import Locations
from project_export.source import Limits, Reader, Session, Temporary, batches, changed, slices, sql
from project_export.source.members import Members
from project_export.tree import bind, load, tables

TREE = """
name: cabinet
locations: {tins: films}
parameters: {title: {type: string}}
root: {relation: cabinet, table: cabinets, keys: [id]}
relations:
  - relation: films
    table: films
    join: {cabinet_id: id}
    keys:
      - {title: {parameter: title}}
      - plot
      - {number: {column: id, transform: digest}}
      - facts
      - reel:
          transform: base64_text
          when: packed
          blank: true
          default: ""
          elsewhere:
            {location: tins, offset: at, size: size, from: tins, match: {id: tin_id}, file: "{name}"}
      - {cast: {transform: yaml}}
    children:
      - {relation: scenes, table: scenes, join: {film_id: id}, keys: [{text: {transform: base64_text}}]}
"""
SQL = """
CREATE TABLE cabinets AS SELECT 1 AS id;
CREATE TABLE tins AS SELECT 1 AS id, 'tin'::text AS name UNION SELECT 2, 'gone';
CREATE TABLE films (
    id serial, cabinet_id int DEFAULT 1, tin_id int DEFAULT 1, title text DEFAULT 'old', plot text, facts jsonb,
    reel text, packed bool, at int, size int, "cast" text
);
CREATE TABLE scenes (id serial, film_id int, text text);
"""
FACTS = '{"a b": ["}", {"c": "\\\\\\""}, 1.50]}'
LONG = "x<é>\U0001f600" * 9


def packed(data: bytes) -> str:
    return base64.b64encode(data).decode()


REELS = [
    "aMOp",
    packed(LONG.encode()),
    packed(LONG.encode("utf-16")),  # not UTF-8
    packed(LONG.encode()) + "\n",
    packed(LONG.encode())[:-1],
    packed(LONG.encode())[:-3],
    packed(LONG.encode()) + "aa==aMOp",
    packed(b"x" * 28)[:-3] + "B==",  # bits that the model's reader refuses
    packed(b" \t\n" * 30),
    packed(b" \t\n" * 30 + "\u2003x".encode()),
    packed("\u2003\u3000".encode() * 9),
    packed(b'"\\\0' * 20),
    LONG,
    '"\\"\n' * 20,
    "",
    None,
]
TIN = LONG.encode() + b" " * 50 + packed(LONG.encode()).encode() + b"\xff" * 50
IN_TIN = [(0, 60), (1, 70), (len(LONG.encode()), 50), (0, len(TIN)), (200, len(TIN)), (99999, 50), (0, 0)]
IN_TIN += [(len(LONG.encode()) + 50, len(packed(LONG.encode())))]


@pytest.fixture
def source(database: str, tmp_path: Path) -> str:
    with psycopg.connect(database) as conn:
        conn.execute(SQL)
        for reel in REELS:
            for is_packed in (True, False):
                texts = {
                    "plot": '"}],\\' * 9,
                    "facts": '{"a b": ["}", {"c": "\\\\\\""}, 1.50]}',
                    "cast": "---\n- a: b\n",
                }
                conn.execute(
                    'INSERT INTO films (reel, packed, plot, facts, "cast") VALUES (%s, %s, %s, %s, %s)',
                    [reel, is_packed, *texts.values()],
                )
        for at, size in IN_TIN:
            for tin in (1, 2):
                values = [tin, size % 3 == 0, at, size]
                conn.execute("INSERT INTO films (tin_id, packed, at, size) VALUES (%s, %s, %s, %s)", values)
        conn.execute("INSERT INTO scenes (film_id, text) SELECT id, reel FROM films")
    (tmp_path / "tin").write_bytes(TIN)
    (tmp_path / "tree.yaml").write_text(TREE)
    return database


def read(source: str, folder: Path, temporary: Temporary, **options: object) -> tuple[bytes, dict[str, int]]:
    tree = load(str(folder / "tree.yaml"))
    locations = Locations({"tins": str(folder)})
    with Session(lambda: psycopg.connect(source), "test", Limits()) as session:
        bound = bind(tree, session.catalogue(tables(tree)))
        reader = Reader(session, bound, 1, locations=locations, temporary=temporary, **options)  # type: ignore[arg-type]
        lines = b"".join(chunk.data for chunk in reader.read("films"))
    locations.close()
    return lines, dict(reader.omissions)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nearly everything be too large."""
    for module in (batches, changed, slices, sql):
        monkeypatch.setattr(module, "LONGEST", 40)
    monkeypatch.setattr(sql, "SLICE", 7)
    monkeypatch.setattr(changed, "_PIECE", 12)


def test_values_in_pieces_are_what_they_are_whole(source: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    whole = [read(source, tmp_path, Temporary(), parameters=parameters) for parameters in ({}, {"title": "new"})]
    assert len(whole[0][0].splitlines()) == 2 * len([*REELS, *IN_TIN])
    assert len(whole[0][1]) == 2
    request.getfixturevalue("small")
    for parameters, expected in zip(({}, {"title": "new"}), whole, strict=True):
        assert read(source, tmp_path, Temporary(), parameters=parameters, batch_bytes=0) == expected


def test_what_cannot_be_read_names_its_row(source: str, tmp_path: Path, small: None) -> None:
    with psycopg.connect(source) as conn:
        conn.execute("UPDATE films SET \"cast\" = repeat('- ]', 20) WHERE id = 5")
    with pytest.raises(SourceRefused, match=r"films\.cast of the row with id 5: not readable as YAML"):
        read(source, tmp_path, Temporary(), batch_bytes=0)


def test_a_folder_that_cannot_hold_a_value_is_an_error(source: str, tmp_path: Path, small: None) -> None:
    with pytest.raises(TemporaryRefused, match="absent: ENOENT"):
        read(source, tmp_path, Temporary(str(tmp_path / "absent")), batch_bytes=0)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_members_are_found_wherever_an_object_is_cut(size: int) -> None:
    text = rb'{"a":"x\"}","b\"":{"c":["}",{}],"d":1},"e":-1.5e3,"f":null,"g":"","h":"\\","i":[]}'
    found: dict[str | None, bytes] = {}
    ended = []
    members = Members({"a", 'b"', "e", "g", "h", "i"})
    for at in range(0, len(text), size):
        for key, piece, ends in members.feed(text[at : at + size]):
            found[key] = found.get(key, b"") + piece
            ended += [key] if ends else []
    assert found == {
        None: rb'{"a":,"b\"":,"e":,"f":null,"g":,"h":,"i":',
        "a": rb'"x\"}"',
        'b"': b'{"c":["}",{}],"d":1}',
        "e": b"-1.5e3",
        "g": b'""',
        "h": rb'"\\"',
        "i": b"[]",
    }
    assert [key for key in ended if key] == ["a", 'b"', "e", "g", "h", "i"]
