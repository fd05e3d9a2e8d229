"""Databases of other versions: every column and every table that the tree reads is taken away, one at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from project_export.errors import SourceChanged
from project_export.sample import schema
from project_export.tree import BoundTree, LeftOut, Lookup, Relation, bind, load, tables
from tests import specimen

TREE = load("gitlab")
CATALOGUE = {
    name: {column.name: "text" for column in schema.tables()[name]} for name in tables(TREE) if name in schema.tables()
}
REAL_REMOVALS = 20


def named(relation: Relation) -> Iterator[tuple[str, str]]:
    """Yield table and column of all that a relation names."""
    columns = [own for own, _ in relation.join] + [column for column, _ in relation.where]
    columns += [order.column for order in relation.order]
    columns += [name for key in relation.keys for name in (key.column, key.when, key.fallback) if name]
    yield from ((relation.table, column) for column in columns)
    for lookup in [*(key.lookup for key in relation.keys), *(value for _, value in relation.derived)]:
        if isinstance(lookup, Lookup):
            yield from ((lookup.table, column) for column in lookup.columns if lookup.table)
            own = [column for _, column in lookup.match] + [lookup.fallback] * bool(lookup.fallback)
            yield from ((relation.table, column) for column in own)


COLUMNS = sorted({pair for _, relation in TREE.walk() if relation.table for pair in named(relation)})
TABLES = sorted(CATALOGUE)


def needed(table: str, column: str) -> bool:
    """Whether rows cannot be found or ordered without a column."""
    for path, relation in TREE.walk():
        if relation.table == table:
            columns = {own for own, _ in relation.join} | {name for name, _ in relation.where}
            columns |= {order.column for order in relation.order}
            if "." not in path and not relation.one and relation is not TREE.root:
                columns |= set(relation.key)
            if relation is TREE.root:
                columns |= {*relation.key, *(parent for top in TREE.relations for _, parent in top.join)}
            if column in columns:
                return True
    return False


def without(table: str, column: str | None) -> dict[str, dict[str, str]]:
    """Return the catalogue without a table, or without one of its columns."""
    if column is None:
        return {name: columns for name, columns in CATALOGUE.items() if name != table}
    return {**CATALOGUE, table: {name: kind for name, kind in CATALOGUE[table].items() if name != column}}


def reads(relation: Relation, table: str, column: str) -> bool:
    """Whether a bound relation still reads a column."""
    return (table, column) in set(named(relation)) if relation.table else False


def removed(table: str, column: str) -> set[str]:
    """Return the keys that have no other value than of this column, and the nested relations to which it leads."""
    found = set()
    for path, relation in TREE.walk():
        if relation.table == table:
            derived = {name for name, _ in relation.derived}
            leads = [child.name for child in relation.children if column in {link for _, link in child.join} - derived]
            found.update(f"{path}.{name}" for name in leads)
        for key in relation.keys:
            columns = {(relation.table, key.column), (relation.table, key.when)}
            if key.lookup is not None:
                columns = {(key.lookup.table, key.lookup.column)}
                for other, own in key.lookup.match:
                    columns |= {(key.lookup.table, other), (relation.table, own)}
            if (table, column) in columns and not (key.fallback or (key.lookup and key.lookup.fallback)):
                found.add(f"{path}.{key.name}")
    return found


def beside(item: LeftOut) -> bool:
    """Whether what was left out are rows beside a relation's own ones: in addition, or of its successor."""
    return "[" in item.path or "successor" in item.why or "rows in addition" in item.why


def all_remarks(bound: BoundTree) -> str:
    return "\n".join(remark for name in TREE.names for remark in bound.remarks(name))


@pytest.mark.parametrize("table", TABLES)
def test_without_a_column_its_keys_are_left_out_and_said_or_it_is_named_as_needed(table):
    for column in [column for of, column in COLUMNS if of == table]:
        catalogue = without(table, column)
        if needed(table, column):
            with pytest.raises(SourceChanged, match=rf"needs {table}\.{column} for .*(nearest|valid): "):
                bind(TREE, catalogue)
            continue
        bound = bind(TREE, catalogue)
        assert not [path for path, relation in bound.tree.walk() if reads(relation, table, column)], column
        assert {item.path for item in bound.left_out if not beside(item)} == removed(table, column), column
        for path in removed(table, column):
            assert f"{path}: left out, the source has no {table}." in all_remarks(bound)


@pytest.mark.parametrize(
    ("table", "column"),
    [("namespaces", None), ("namespaces", "traversal_ids"), ("projects", "namespace_id"), ("members", "access_level")],
)
def test_without_what_tells_inherited_members_there_are_direct_ones_only_and_that_is_said(table, column):
    bound = bind(TREE, without(table, column))
    assert bound.relation("project_members").also == ()
    assert "project_members: left out, rows in addition, for which the source lacks" in all_remarks(bound)


def test_without_a_table_its_successor_takes_its_place_and_one_that_is_not_there_yet_is_no_news():
    path = "merge_requests.merge_request_diff.merge_request_diff_files"
    old, new = (dict(TREE.walk())[path], dict(TREE.walk())[path].successor)
    assert dict(bind(TREE, without(old.table, None)).tree.walk())[path].table == new.table
    assert bind(TREE, without(new.table, None)).left_out == ()


@pytest.mark.parametrize("table", [table for table in TABLES if table != TREE.root.table])
def test_without_a_table_its_relations_and_values_are_left_out_and_said(table):
    bound = bind(TREE, without(table, None))
    paths = {path for path, relation in bound.tree.walk() if relation.table}
    assert table not in {relation.table for _, relation in bound.tree.walk()}
    for path, relation in TREE.walk():
        parent_left = path.rpartition(".")[0] not in paths and "." in path
        if relation.table and path not in paths and not parent_left:
            assert f"{path}: left out, the source has no table {table}" in all_remarks(bound)
    for _, relation in bound.tree.walk():
        assert not [key for key in relation.keys if key.lookup and key.lookup.table == table]


def test_without_the_root_table_there_is_nothing_to_export():
    with pytest.raises(SourceChanged, match="the source has no table projects, the root of the tree"):
        bind(TREE, without("projects", None))


OPTIONAL = [
    *(pair for pair in COLUMNS if not needed(*pair)),
    *((table, None) for table in TABLES if table != TREE.root.table),
]


@pytest.fixture(scope="module")
def before(server, specimen_template):
    return specimen.export(server.uri(specimen_template))[1]


@pytest.mark.parametrize(("table", "column"), OPTIONAL[:: len(OPTIONAL) // REAL_REMOVALS + 1])
def test_an_export_of_a_database_without_it_works_and_lacks_nothing_else(
    table, column, before, server, specimen_template
):
    uri = server.uri(specimen_template)
    with renamed(uri, table, column, f"was_{column or table}"):
        bound, after = specimen.export(uri)
    gone = {item.path for item in bound.left_out}
    for name in TREE.names:
        if name in gone:
            assert after[name] in (b"", b"null")
        else:
            assert parsed(after[name]) == [stripped(record, name, gone) for record in parsed(before[name])]


def test_a_gitlab_that_stores_no_metadata_of_commits_is_exported(before, specimen_copy):
    with psycopg.connect(specimen_copy) as conn:
        conn.execute("UPDATE merge_request_diff_commits SET sha = 'abc', commit_author_id = 1")
        conn.execute("ALTER TABLE merge_request_diff_commits DROP merge_request_commits_metadata_id, DROP project_id")
        conn.execute("DROP TABLE merge_request_commits_metadata, merge_request_diff_commits_b5377a7a34 CASCADE")
    bound, after = specimen.export(specimen_copy)
    path = "merge_requests.merge_request_diff.merge_request_diff_commits"
    why = "the source has no merge_request_diff_commits.merge_request_commits_metadata_id"
    assert f"{path}.merge_request_commits_metadata: left out, {why}" in all_remarks(bound)
    commits = parsed(after["merge_requests"])[0]["merge_request_diff"]["merge_request_diff_commits"]
    assert [(commit["sha"], "merge_request_commits_metadata" in commit) for commit in commits] == [("616263", False)]
    assert {name for name in before if after[name] != before[name]} == {"merge_requests"}


@contextmanager
def renamed(uri: str, table: str, column: str | None, name: str) -> Iterator[None]:
    """Take a column, or the whole table, away under its name, and give it back."""
    with psycopg.connect(uri, autocommit=True) as conn:
        if column is None:
            there, back = (table, name), (name, table)
            statement = SQL("ALTER TABLE {} RENAME TO {}")
        else:
            there, back = (table, column, name), (table, name, column)
            statement = SQL("ALTER TABLE {} RENAME COLUMN {} TO {}")
        conn.execute(statement.format(*map(Identifier, there)))
        try:
            yield
        finally:
            conn.execute(statement.format(*map(Identifier, back)))


def parsed(data: bytes) -> list[Any]:
    return [json.loads(line) for line in data.splitlines()]


def stripped(value: object, path: str, gone: set[str]) -> object:
    """Return a record without what is gone, by its dotted path."""
    if isinstance(value, list):
        return [stripped(item, path, gone) for item in value]
    if isinstance(value, dict):
        return {
            key: stripped(item, f"{path}.{key}", gone) for key, item in value.items() if f"{path}.{key}" not in gone
        }
    return value
