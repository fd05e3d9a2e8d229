"""An export of changes has exactly the top-level records that differ, and what is exported as a whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from project_export.source import Limits, Reader, Session, Window
from project_export.source.sql import Statements
from project_export.tree import Relation, bind, load, tables
from tests.databases import Databases

TREE = load("gitlab")
START = datetime(2031, 1, 1, tzinfo=timezone.utc)
END = START + timedelta(days=1)
IN_IT, LATER = START + timedelta(hours=1), END
"""Times in the window and just after it."""

Row = dict[str, Any]


class Source:
    """A generated source, of which some tests change rows."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.conn = psycopg.connect(uri, autocommit=True)
        with self._session() as session:
            self.bound = bind(TREE, session.catalogue(tables(TREE)))

    def read(self, name: str, window: Window | None = None, parts: int = 1) -> list[bytes]:
        """Return the lines of a relation of project 1."""
        with self._session() as session:
            reader = Reader(session, self.bound, 1, window=window)
            read = [b"".join(chunk.data for chunk in reader.read(name, part, parts)) for part in range(parts)]
            return b"".join(read).splitlines()

    def count(self, name: str, window: Window) -> int:
        with self._session() as session:
            return Reader(session, self.bound, 1, window=window).count(name)

    def delta(self, name: str, start: datetime = START, end: datetime = END) -> list[bytes]:
        return self.read(name, Window(start, end))

    def _session(self) -> Session:
        return Session(lambda: psycopg.connect(self.uri), "test", Limits())


@pytest.fixture(scope="module")
def source(databases: Databases, generated_template: str) -> Iterator[Source]:
    with databases.new(generated_template) as uri:
        source = Source(uri)
        yield source
        source.conn.close()


def places() -> list[str]:
    """Return the paths of all relations with a time of change that make a record a changed one."""
    return [path for top in TREE.relations if top.changed_at for path, one in top.walk() if one.changed_at]


def rows_under(source: Source, path: str) -> tuple[Relation, list[Any]]:
    """Return a relation and the ids of its rows in the project, found level by level."""
    relation, rows = TREE.root, [{"id": 1}]
    for name in path.split("."):
        relation = source.bound.relation(name) if relation is TREE.root else child(relation, name)
        own, link = relation.join[0]
        values = [row[link] for row in rows if row.get(link) is not None]
        query = sql.SQL("SELECT * FROM {} WHERE {} = ANY(%s)").format(
            sql.Identifier(relation.table), sql.Identifier(own)
        )
        rows = rows_of(source.conn.execute(query, [values]))
        for condition in relation.where:
            rows = [row for row in rows if row[condition.column] in condition.values]
    return relation, sorted({row["id"] for row in rows})


def child(relation: Relation, name: str) -> Relation:
    return next(one for one in relation.children if one.name == name)


def rows_of(cursor: psycopg.Cursor[Any]) -> list[Row]:
    names = [one.name for one in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def test_without_a_change_only_what_has_no_time_is_exported(source: Source) -> None:
    for relation in source.bound.tree.relations:
        whole = source.read(relation.name)
        assert source.delta(relation.name) == ([] if relation.changed_at else whole), relation.name
        early = datetime(1990, 1, 1, tzinfo=timezone.utc)
        assert source.count(relation.name, Window(early, END)) == len(whole), relation.name
        assert source.delta(relation.name, early) == whole, relation.name


NAMES = {"users": ("name", "username"), "labels": ("title",), "milestones": ("title",)}
"""Columns that nested records show of tables whose time of change they do not show."""
EMPTY = {"snippets.notes.award_emoji", "boards.lists.milestone"}
"""Relations of which the sample has no rows."""


@contextmanager
def changed(source: Source, relation: Relation, row_id: int) -> Iterator[Callable[[datetime], None]]:
    """Yield what changes a row at a time; restore it at the end."""
    table, names = sql.Identifier(relation.table), (str(relation.changed_at), *NAMES.get(relation.table, ()))
    columns = [sql.Identifier(name) for name in names]
    query = sql.SQL("SELECT {} FROM {} WHERE id = %s").format(sql.SQL(", ").join(columns), table)
    before = source.conn.execute(query, [row_id]).fetchone()
    assert before is not None
    assign = sql.SQL(", ").join(sql.SQL("{} = %s").format(one) for one in columns)
    update = sql.SQL("UPDATE {} SET {} WHERE id = %s").format(table, assign)
    texts = [f"{text}!" for text in before[1:]]
    yield lambda time: source.conn.execute(update, [time, *texts, row_id]) and None
    source.conn.execute(update, [*before, row_id])


@pytest.mark.parametrize("top", [top.name for top in TREE.relations if top.changed_at])
def test_a_change_of_any_row_exports_the_records_that_have_it(source: Source, top: str) -> None:
    before = set(source.read(top))
    with ExitStack() as stack:
        changes = []
        for number, path in enumerate(path for path in places() if path.partition(".")[0] == top):
            relation, ids = rows_under(source, path)
            assert ids or path in EMPTY, path
            for row_id in ids[number : number + 1] or ids[-1:]:
                change = stack.enter_context(changed(source, relation, row_id))
                change(START)
                after = source.delta(top)
                assert after, path
                assert not before.intersection(after), path
                change(LATER)
                changes.append(change)
        assert source.delta(top) == []  # the next window has all of them
        for change in changes:
            change(START)
        assert source.delta(top) == [line for line in source.read(top) if line not in before]


def test_the_parts_of_a_relation_have_all_changed_records_once(source: Source) -> None:
    source.conn.execute("UPDATE issues SET updated_at = %s WHERE id %% 2 = 0", [IN_IT])
    source.conn.execute("UPDATE notes SET updated_at = %s WHERE noteable_type = 'Issue' AND id %% 7 = 0", [IN_IT])
    whole = source.delta("issues")
    assert 2 < len(whole) < len(source.read("issues"))
    assert source.count("issues", Window(START, END)) == len(whole)
    assert source.read("issues", Window(START, END), parts=3) == whole


def test_what_changed_is_looked_for_once(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = source.delta("issues")
    monkeypatch.setattr(Reader, "count", None)
    assert source.delta("issues") == expected


def test_the_changed_rows_are_found_by_an_index_on_the_time_where_there_is_one(source: Source) -> None:
    source.conn.execute("CREATE TEMP SEQUENCE ids START 10000000")
    source.conn.execute(
        "CREATE TEMP TABLE many AS SELECT one.*"
        " FROM (SELECT * FROM notes WHERE noteable_type = 'Issue' LIMIT 1) AS one, generate_series(1, 20000)"
    )
    # Notes of issues that do not exist.
    source.conn.execute("UPDATE many SET id = nextval('ids'), noteable_id = id, updated_at = '2001-01-01'")
    source.conn.execute("INSERT INTO notes SELECT * FROM many")
    source.conn.execute("CREATE INDEX by_change ON notes (updated_at)")
    source.conn.execute("ANALYZE")
    with Session(lambda: psycopg.connect(source.uri), "test", Limits()) as session:
        values = Reader(session, source.bound, 1).root_values
        statements = Statements(source.bound.catalogue, TREE.root, values, window=Window(START, END))
        query, params = statements.page_keys(source.bound.relation("issues"), values)
        plan = "\n".join(line.decode() for (line,) in session.rows(b"EXPLAIN " + query.as_bytes(None), params))
    assert "by_change" in plan
    assert "Seq Scan on notes" not in plan


ZOO = """
name: zoo
root: {relation: zoo, table: zoos, keys: [name]}
relations:
  - relation: animals
    table: animals
    join: {zoo_id: id}
    key: [id, zoo_id]
    beside: {chip: {from: chips, match: {animal_id: id}, order: [id]}}
    derived: {maker: {column: chip.maker_id}}
    keys: [name]
    changed: seen_on
    merge: [name]
    also: [{join: {visits_id: id}, unless: name, best: [id]}]
    children:
      - {relation: maker, table: makers, one: true, join: {id: maker}, keys: [name], changed: at}
      - relation: meals
        table: meals
        join: {animal_id: id}
        beside: {food: {from: foods, match: {id: food_id}}}
        where: {food.dry: true}
        keys: [number]
        successor: {table: meals2, join: {animal_id: id}, keys: [number], changed: at}
"""
ZOO_TABLES = """
CREATE TABLE zoos (id int PRIMARY KEY, name text);
CREATE TABLE animals (id int PRIMARY KEY, zoo_id int, visits_id int, name text, seen_on timestamp);
CREATE TABLE chips (id int, animal_id int, maker_id int);
CREATE TABLE makers (id int, name text, at timestamptz);
CREATE TABLE foods (id int, dry boolean);
CREATE TABLE meals (id int, animal_id int, food_id int, number int);
CREATE TABLE meals2 (id int, animal_id int, number int, at timestamptz);
INSERT INTO zoos VALUES (1, 'Zoo');
INSERT INTO animals VALUES (1, 1, null, 'ape', null), (2, 1, null, 'bear', '2031-01-01'), (3, 1, null, 'cat', null),
    (4, 1, null, 'dog', '2030-12-31 23:59:59.999999'), (5, 2, 1, 'emu', '2031-01-01 23:00'), (6, 2, 1, 'fox', null);
INSERT INTO chips VALUES (1, 3, 7), (2, 3, 8), (3, 1, 8);
INSERT INTO makers VALUES (7, 'x', '2031-01-02 00:59:59+01'), (8, 'y', '2031-01-02 01:00:00+01');
INSERT INTO meals2 VALUES (1, 6, 9, '2031-01-01 12:00+00');
"""


def test_any_tree_can_say_by_what_a_change_shows(database: str, tmp_path: Path) -> None:
    (tmp_path / "zoo.yaml").write_text(ZOO)
    with psycopg.connect(database) as conn:
        conn.execute(ZOO_TABLES)
        conn.execute("SET TimeZone TO 'Asia/Tokyo'")
    tree = load(str(tmp_path / "zoo.yaml"))
    with Session(lambda: psycopg.connect(database), "test", Limits(), zone="Asia/Tokyo") as session:
        reader = Reader(session, bind(tree, session.catalogue(tables(tree))), 1, window=Window(START, END))
        found = [json.loads(line)["name"] for line in b"".join(c.data for c in reader.read("animals")).splitlines()]
        assert reader.count("animals") == len(found)
    # bear by its own time, cat by the maker of its first chip, emu and fox as additional rows
    assert found == ["bear", "cat", "emu", "fox"]
