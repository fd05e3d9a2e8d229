"""What a tree says about rows beside, conditions, cases, lookups and hierarchies, on a small schema of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from project_export.source import Limits, Reader, Session
from project_export.tree import bind, load, tables

TREE = """
name: zoo
editions: [free, paid]
enums: {kind: {1: cat, 2: bird}}
root:
  relation: zoo
  table: zoos
  beside:
    rules: {from: rules, match: {zoo_id: id}, order: [id desc]}
    owner: {from: people, match: {id: [owner_id, mayor_id]}}
    none: {from: people, match: {id: nobody_id}}
  derived:
    areas: {climb: areas, start: area_id, parent: above, path: path, where: {kind: area}}
  keys:
    - id
    - {owner: {column: owner.name}}
    - {none: {column: none.name, absent: nobody}}
    - {quiet: {column: rules.quiet, absent: 1}}
    - open:
        constant: null
        cases:
          - {when: {rules: true, rules.quiet: true}, constant: false}
          - {when: {owner.name: {not: null}}, constant: 7}
relations:
  - relation: animals
    table: animals
    join: {zoo_id: id}
    where: {age: {over: 1}, root.rules: true}
    either: [{kind: [null, 1]}, {root.rules.quiet: false, kind: 2}, {kind: 3, root.id: 2}]
    beside:
      chip: {from: chips, match: {animal_id: id, zoo_id: [zoo_id, root.id]}, where: {lost: {not: true}}, order: [id]}
      keeper: {from: people, match: {id: keeper_id}}
    keys:
      - {name: {of: chip}}
      - {number: {of: chip, else: id}}
      - {colour: {trim: true, default: none, last: true}}
      - {kind: {enum: kind, wrap: of, default: other}}
      - {keeper: {column: keeper.name, else: [keeper_name, {from: people, match: {id: root.mayor_id}, column: name}]}}
      - {chips: {from: chips, match: {animal_id: id}, where: {lost: {not: true}}, count: true}}
      - first:
          from: chips
          match: {animal_id: id}
          order: [id]
          column: {from: makers, match: {id: maker_id}, column: name}
      - {weight: {cases: [
          {when: {kind: 2, chip: false}, constant: {light: true}},
          {when: {weight: null, age: {over: 5}}, column: age, transform: digest},
          {when: {chip.number: 7}, column: chip.made_at},
        ], editions: {paid: {default: 0}}}}
      - {born: {layouts: [{column: born_on, without: [births]}, {from: births, match: {animal_id: id}, column: day}]}}
    children:
      - relation: place
        table: places
        one: true
        join: {id: place_id}
        keys: [name]
        instead: {0: {name: unknown}, -1: {name: travelling}}
      - {relation: trips, table: trips, join: {animal_id: id}, where: {far: {not: [null, false]}}, keys: [far]}
  - relation: members
    table: members
    join: {of_id: id}
    where: {of: zoo}
    also:
      - join: {of_id: areas}
        where: {of: area}
        either: [{rank: {over: 0}}, {root.rules.quiet: true}]
        unless: person
        each: [person, mail]
        best: [{by: rank desc, raised: {of_id: area_id}}, id]
    keys: [id, person, mail, rank]
""".replace("      place: {of: chip, column: place_id, else: 4}\n", "").replace(
    "    derived:\n    children", "    children"
)
SQL = """
CREATE TABLE zoos (id int PRIMARY KEY, owner_id int, mayor_id int, nobody_id int, area_id int);
CREATE TABLE rules (id int, zoo_id int, quiet bool);
CREATE TABLE people (id int, name text);
CREATE TABLE areas (id int, above int, path int[], kind text);
CREATE TABLE animals (id int PRIMARY KEY, zoo_id int, age int, kind int, name text, colour text, keeper_id int,
    keeper_name text, weight int, born_on date, place_id int, number int);
CREATE TABLE chips
    (id int, animal_id int, zoo_id int, lost bool, name text, number int, maker_id int, made_at timestamp);
CREATE TABLE makers (id int, name text);
CREATE TABLE births (animal_id int, day date);
CREATE TABLE places (id int, name text);
CREATE TABLE trips (id int, animal_id int, far bool);
CREATE TABLE members (id int PRIMARY KEY, of text, of_id int, person int, mail text, rank int);
INSERT INTO zoos VALUES (1, NULL, 9, NULL, 30), (2, 8, 9, 8, NULL);
INSERT INTO rules VALUES (1, 1, true), (2, 1, false);
INSERT INTO people VALUES (8, 'Ann'), (9, 'Bob'), (10, NULL);
INSERT INTO areas VALUES (10, NULL, '{10}', 'area'), (20, 10, '{10,20}', 'area'), (30, 20, '{10,20,30}', 'area'),
    (40, NULL, '{40}', 'area');
INSERT INTO animals VALUES
    (1, 1, 2, 1, 'own', E' \\t red\\n', 8, 'x', 5, '2020-01-02', 1),
    (2, 1, 9, 2, 'own', NULL, NULL, NULL, NULL, NULL, 0),
    (3, 1, 9, NULL, 'own', 'blue', 10, NULL, NULL, NULL, -1),
    (4, 1, 1, 1, 'too young', '', 8, 'x', 5, NULL, 1),
    (5, 1, 9, 3, 'of another zoo only', '', 8, 'x', 5, NULL, 1),
    (6, 2, 9, 3, 'without rules', '', 8, 'x', 5, NULL, 1);
INSERT INTO chips VALUES
    (3, 1, 1, NULL, 'second', 8, 2, NULL), (2, 1, NULL, NULL, 'of no zoo', 9, 1, NULL),
    (1, 1, 1, true, 'lost', 1, NULL, NULL), (4, 3, 1, false, NULL, 7, 1, '2024-05-06 07:08:09.1239');
INSERT INTO makers VALUES (1, 'Acme'), (2, 'Chips');
INSERT INTO places VALUES (1, 'cage');
INSERT INTO trips VALUES (1, 1, true), (2, 1, false), (3, 1, NULL);
INSERT INTO members VALUES
    (1, 'zoo', 1, 5, NULL, 1), (2, 'area', 30, 5, NULL, 9), (3, 'area', 10, 6, 'a', 4), (4, 'area', 30, 6, 'a', 4),
    (5, 'area', 30, 6, 'b', 1), (6, 'area', 20, 7, NULL, 5), (7, 'area', 30, 7, NULL, 3), (8, 'area', 20, NULL, 'c', 2),
    (9, 'area', 40, 11, NULL, 2), (10, 'area', 20, 12, NULL, 0);
"""

Read = Callable[..., Reader]


@pytest.fixture
def read(database: str, tmp_path: Path) -> Iterator[Read]:
    """Read a zoo after some more SQL."""
    (tmp_path / "zoo.yaml").write_text(TREE)
    with psycopg.connect(database) as conn:
        conn.execute(SQL)
    sessions = []

    def read(sql: str = "SELECT 1", root: int = 1, edition: str = "", allowed: tuple[str, ...] = ()) -> Reader:
        with psycopg.connect(database) as conn:
            conn.execute(sql.encode())
        session = Session(lambda: psycopg.connect(database), "test", Limits())
        sessions.append(session)
        tree = load(str(tmp_path / "zoo.yaml"), edition)
        return Reader(session, bind(tree, session.catalogue(tables(tree)), allowed=allowed), root)

    yield read
    for session in sessions:
        session.close()


def records(reader: Reader, name: str) -> list[Any]:
    data = b"".join(chunk.data for chunk in reader.read(name))
    return [json.loads(line) for line in data.splitlines()]


def test_the_root_reads_rows_beside_it_the_first_in_order(read: Read) -> None:
    assert records(read(), "zoo") == [{"id": 1, "owner": "Bob", "none": "nobody", "quiet": False, "open": 7}]


def test_a_missing_row_beside_differs_from_a_null_in_it(read: Read) -> None:
    assert records(read(root=2), "zoo") == [{"id": 2, "owner": "Ann", "none": "Ann", "quiet": 1, "open": 7}]
    reader = read("UPDATE people SET name = NULL WHERE id = 8; INSERT INTO rules VALUES (3, 2, NULL)", 2)
    assert records(reader, "zoo") == [{"id": 2, "owner": None, "none": None, "quiet": None, "open": None}]


def test_of_several_cases_the_first_counts(read: Read) -> None:
    assert records(read("INSERT INTO rules VALUES (3, 1, true)"), "zoo")[0]["open"] is False


ANIMALS = [
    {
        "name": "second", "number": 8, "kind": {"of": "cat"}, "keeper": "Ann", "chips": 2, "first": None, "weight": 5,
        "born": None, "place": {"name": "cage"}, "trips": [{"far": True}], "colour": "red",
    },
    {
        "name": "own", "number": 2, "kind": {"of": "bird"}, "keeper": "Bob", "chips": 0, "first": None,
        "weight": {"light": True}, "born": None, "place": {"name": "unknown"}, "trips": [], "colour": "none",
    },
    {
        "name": None, "number": 7, "kind": {"of": "other"}, "keeper": "Bob", "chips": 1, "first": "Acme",
        "weight": "0ade7c2cf97f75d009975f4d720d1fa6c19f4897", "born": None, "place": {"name": "travelling"},
        "trips": [], "colour": "blue",
    },
]  # fmt: skip


def test_values_come_from_where_the_tree_says(read: Read) -> None:
    found = records(read(), "animals")
    assert found == ANIMALS
    assert [list(record) for record in found] == [list(record) for record in ANIMALS]


@pytest.mark.parametrize(("batch_rows", "batch_bytes"), [(1, 1 << 20), (2, 1), (3, 300)])
def test_batches_change_nothing(read: Read, batch_rows: int, batch_bytes: int) -> None:
    whole = read()
    small = Reader(whole._session, whole._bound, 1, batch_rows=batch_rows, batch_bytes=batch_bytes)
    for name in ("zoo", "animals", "members"):
        assert records(small, name) == records(whole, name)


def test_a_row_beside_of_another_zoo_is_not_meant(read: Read) -> None:
    first, *_ = records(
        read("UPDATE chips SET zoo_id = 2 WHERE id = 3; DELETE FROM chips WHERE zoo_id IS NULL"), "animals"
    )
    assert (first["name"], first["number"], first["chips"]) == ("own", 1, 1)


def test_a_case_may_ask_for_a_row_beside_and_is_formed_by_its_type(read: Read) -> None:
    *_, last = records(read("UPDATE animals SET weight = 1 WHERE id = 3"), "animals")
    assert last["weight"] == "2024-05-06T07:08:09.123Z"


def test_conditions_are_met_by_the_row_and_the_root(read: Read) -> None:
    assert [animal["number"] for animal in records(read("INSERT INTO rules VALUES (3, 1, true)"), "animals")] == [8, 7]
    assert records(read("DELETE FROM rules"), "animals") == []
    assert read().count("animals") == 0
    reader = read("INSERT INTO rules VALUES (4, 2, NULL)", 2)
    assert [animal["name"] for animal in records(reader, "animals")] == ["without rules"]


def test_an_edition_has_its_own_forms(read: Read) -> None:
    sql = "UPDATE animals SET weight = NULL, age = 3; DELETE FROM chips; UPDATE animals SET kind = 1"
    assert {animal["weight"] for animal in records(read(sql), "animals")} == {None}
    assert {animal["weight"] for animal in records(read(edition="paid"), "animals")} == {0}


@pytest.mark.parametrize(
    ("sql", "allowed", "born"),
    [
        ("INSERT INTO births VALUES (1, '1999-12-31')", (), "1999-12-31"),
        ("DROP TABLE births", ("births",), "2020-01-02"),
    ],
)
def test_a_key_is_read_from_the_layout_that_exists(read: Read, sql: str, allowed: tuple[str, ...], born: str) -> None:
    assert [animal["born"] for animal in records(read(sql, allowed=allowed), "animals")] == [born, None, None]


def people(reader: Reader) -> list[tuple[int | None, str | None, int]]:
    return [(member["person"], member["mail"], member["rank"]) for member in records(reader, "members")]


def test_additional_rows_are_of_the_whole_hierarchy_and_the_best_of_each_identity(read: Read) -> None:
    # 6 by both mails; of 7 the row of the area above is better though the own area's counts one more.
    assert people(read()) == [(5, None, 1), (6, "a", 4), (6, "b", 1), (7, None, 5)]
    assert read().count("members") == 4


@pytest.mark.parametrize(("rank", "best"), [(3, 6), (4, 6), (5, 7)])
def test_a_row_of_the_own_area_counts_one_more(read: Read, rank: int, best: int) -> None:
    members = records(read(f"UPDATE members SET rank = {rank} WHERE id = 7"), "members")  # noqa: S608
    assert [member["id"] for member in members if member["person"] == 7] == [best]


def test_rows_without_a_person_are_taken_only_if_nobody_is_among_the_first(read: Read) -> None:
    assert people(read("UPDATE members SET person = NULL WHERE id = 1"))[0] == (None, None, 1)
    assert (None, "c", 2) in people(read())


def test_an_alternative_of_additional_rows_may_depend_on_the_root(read: Read) -> None:
    assert (12, None, 0) not in people(read())
    assert (12, None, 0) in people(read("INSERT INTO rules VALUES (3, 1, true)"))


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("SELECT 1", {6, 7}),
        ("UPDATE areas SET path = '{}'", {6, 7}),
        ("UPDATE areas SET path = '{10,40}' WHERE id = 20", {6, 7, 11}),  # the path of the area above counts
        ("UPDATE areas SET path = '{}' WHERE id = 20", {6, 7}),
        ("UPDATE areas SET above = NULL WHERE id = 30", {6, 7}),
        ("UPDATE areas SET path = '{}', kind = 'other' WHERE id = 20", {6, 7}),
        ("UPDATE areas SET kind = 'other' WHERE id = 30", set()),
        ("UPDATE zoos SET area_id = NULL", set()),
        ("UPDATE zoos SET area_id = 99", set()),
    ],
)
def test_a_hierarchy_is_climbed_by_path_or_by_parent(read: Read, sql: str, found: set[int]) -> None:
    assert {person for person, _, _ in people(read(sql)) if person} - {5} == found
