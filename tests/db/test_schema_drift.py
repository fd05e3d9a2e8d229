"""Databases of other versions: every column and every table that the tree reads is taken away, one at a time."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from project_export.errors import SourceChanged
from project_export.sample import schema
from project_export.tree import BoundTree, Catalogue, Form, Relation, bind, load, tables
from project_export.tree.reads import columns
from tests import specimen

TREE = load("gitlab", "ee")
"""Which has everything that the editions have."""
LINES = len(Path(TREE.file).read_text(encoding="utf-8").splitlines())
WHOLE: Catalogue = {table: dict.fromkeys(TREE.known[table], "text") for table in tables(TREE)}
SAMPLE: Catalogue = {
    table: {column.name: "text" for column in schema.tables()[table]}
    for table in tables(TREE)
    if table in schema.tables()
}
REAL_REMOVALS = 20
SUCCESSORS = {relation.successor.table for _, relation in TREE.walk() if relation.successor}
SPARED = {row.table: row.columns for _, relation in TREE.walk() for row in relation.beside if row.optional}
assert TREE.title is not None
SPARED[TREE.title.row.table] = TREE.title.row.columns
assert TREE.activity is not None
SPARED[TREE.root.table] = (*SPARED.get(TREE.root.table, ()), *TREE.activity.columns)
OPTIONAL = frozenset().union(*(option.needs for option in TREE.optional))


def read(catalogue: Catalogue) -> dict[str, list[str]]:
    """Return what is read by name. Of rows in addition all is read, and keys are asked for to name rows: not here."""
    bound = bind(TREE, catalogue)
    tops = tuple(replace(keyless(top), key=() if top.one else top.key, also=()) for top in bound.tree.relations)
    root = replace(keyless(bound.tree.root), key=bound.tree.root.key)
    there = replace(bound, tree=replace(bound.tree, root=root, relations=tops))
    found = {table: set(names) for table, names in columns(there).items()}
    for relation in bound.tree.relations:
        for also in relation.also:
            orders = [order.column for order in also.best]
            found[relation.table] |= {own for own, _ in also.join} | {also.unless, *also.each, *orders}
    return {table: sorted(names) for table, names in sorted(found.items())}


def keyless(relation: Relation) -> Relation:
    successor = relation.successor and keyless(relation.successor)
    return replace(relation, key=(), children=tuple(map(keyless, relation.children)), successor=successor)


READ = read(WHOLE)


def without(table: str, column: str | None = None, catalogue: Catalogue = WHOLE) -> Catalogue:
    """Return the catalogue without a table, or without one of its columns."""
    if column is None:
        return {name: names for name, names in catalogue.items() if name != table}
    return {**catalogue, table: {name: kind for name, kind in catalogue[table].items() if name != column}}


def gone_today(name: str) -> bool:
    """Whether the newest version need not have a table or column."""
    return bool({name, name.partition(".")[0]} & TREE.column_until.keys())


def named(error: pytest.ExceptionInfo[SourceChanged], name: str) -> None:
    """Hold that an error names what is absent, with the line of the tree that reads it."""
    pattern = rf"gitlab\.yaml:(\d+): \S+ (?:reads|needs) (?:table )?{re.escape(name)}(?: for [\w ]+)?, which"
    found = re.findall(pattern, str(error.value))
    assert found, str(error.value)
    assert all(0 < int(line) <= LINES for line in found)


def test_nothing_is_left_out_of_a_database_with_everything():
    assert bind(TREE, WHOLE).left_out == bind(TREE, SAMPLE).left_out == ()
    assert sum(map(len, READ.values())) > 500


@pytest.mark.parametrize("table", READ)
@pytest.mark.parametrize("step", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_a_missing_column_is_an_error_unless_its_date_explains_it(table, step):
    for column in READ[table][len(table) % step :: step]:
        name = f"{table}.{column}"
        if column in SPARED.get(table, ()):
            assert bind(TREE, without(table, column)).left_out == (), name
        elif gone_today(name):
            bound = bind(TREE, without(table, column))
            assert not [item for item in bound.left_out if item.omission], name
            assert column not in columns(bound).get(table, ()), name
        else:
            with pytest.raises(SourceChanged) as caught:
                bind(TREE, without(table, column))
            named(caught, name)


@pytest.mark.parametrize("table", sorted(WHOLE))
def test_a_missing_table_is_an_error_unless_something_explains_it(table):
    if table == TREE.root.table:
        with pytest.raises(SourceChanged, match="the source has no table projects, the root of the tree"):
            bind(TREE, without(table))
        return
    if not (table in SUCCESSORS | SPARED.keys() | OPTIONAL or gone_today(table)):
        with pytest.raises(SourceChanged) as caught:
            bind(TREE, without(table))
        named(caught, table)
        return
    try:
        bound = bind(TREE, without(table))
    except SourceChanged as error:
        assert table in OPTIONAL  # which others read as well
        assert f"reads table {table}" in str(error)
        return
    assert not [item for item in bound.left_out if item.omission]
    assert table not in columns(bound)
    if table in OPTIONAL:
        assert {TREE.path(option) for option in TREE.optional if table in option.needs} <= set(bound.absent)


@pytest.mark.parametrize("name", ["merge_request_diff_files", "merge_request_diff_commits"])
def test_the_successor_of_a_table_may_be_absent_but_a_renamed_table_is_an_error(name):
    path = f"merge_requests.merge_request_diff.{name}"
    new = dict(TREE.walk())[path].successor
    assert dict(bind(TREE, without(new.table)).tree.walk())[path].successor is None
    for catalogue in (without(name), without(name, catalogue=without(new.table))):
        with pytest.raises(SourceChanged) as caught:
            bind(TREE, catalogue)
        named(caught, name)


@pytest.mark.parametrize(("table", "column"), [("issues", "title"), ("merge_request_diffs", "head_commit_sha")])
def test_a_renamed_column_is_an_error_that_names_what_may_be_meant(table, column):
    renamed = {**WHOLE, table: {**without(table, column)[table], f"{column}_2": "text"}}
    with pytest.raises(SourceChanged, match=rf"reads {table}\.{column}, which .*; nearest: {column}_2") as caught:
        bind(TREE, renamed)
    named(caught, f"{table}.{column}")


@pytest.mark.parametrize("table", ["notes", "p_ci_builds", "project_settings", "merge_request_commits_metadata"])
def test_a_renamed_table_is_an_error_that_names_what_may_be_meant(table):
    renamed = {**without(table), f"{table}_2": WHOLE[table]}
    with pytest.raises(SourceChanged, match=rf"reads table {table}, which .*; nearest: {table}_2") as caught:
        bind(TREE, renamed)
    named(caught, table)


# Versions.


def since(after: tuple[int, ...]) -> list[str]:
    """Name what came after a version."""
    return [name for name, span in TREE.column_since.items() if tuple(map(int, span.before.split("."))) >= after]


def lacking(names: list[str], catalogue: Catalogue = WHOLE) -> Catalogue:
    for name in names:
        table, _, column = name.partition(".")
        if table in catalogue:
            catalogue = without(table, column or None, catalogue)
    return catalogue


def test_what_was_added_later_is_left_out_of_an_older_version_without_an_omission():
    bound = bind(TREE, lacking(since((17, 1))), "17.1.4-ee")
    assert {item.omission for item in bound.left_out} == {False}
    path = "merge_requests.merge_request_diff.merge_request_diff_commits"
    assert f"{path}.merge_request_commits_metadata" in {item.path for item in bound.left_out}
    assert bound.omissions("merge_requests") == ()


def test_what_may_exist_between_two_versions_is_an_omission_if_absent():
    assert bind(TREE, WHOLE, "17.4").left_out == ()
    bound = bind(TREE, lacking(since((17, 1))), "17.4")
    assert {item.omission for item in bound.left_out} == {True}
    assert bound.omissions("merge_requests")
    assert bound.omissions("issues") == ()


@pytest.mark.parametrize("name", since((17, 1)))
def test_what_a_version_cannot_have_is_an_error(name):
    others = [other for other in since((17, 1)) if not name.startswith(other) and not other.startswith(name)]
    with pytest.raises(SourceChanged) as caught:
        bind(TREE, lacking(others), "17.1")
    assert f"the source has {name}, which was added after 17.1" in str(caught.value)
    assert "is said to be of GitLab 17.1" in str(caught.value)


@pytest.mark.parametrize("version", ["17.1", "17.5.2"])
def test_a_version_that_has_the_table_of_types_must_have_it(version):
    catalogue = lacking(["work_item_types", *since((0,))])
    with pytest.raises(SourceChanged) as caught:
        bind(TREE, catalogue, version)
    named(caught, "work_item_types")


# Real databases.


def removable(table: str, column: str | None) -> bool:
    """Whether an operator may allow a table or column of the sample to be absent."""
    try:
        bound = bind(TREE, without(table, column, SAMPLE), allowed=[f"{table}.{column}" if column else table])
    except SourceChanged:
        return False
    return bool(bound.left_out)


def some_removable() -> Iterator[tuple[str, str | None]]:
    """Yield of each stretch of what is read the first table or column that may be absent."""
    names = [(table, column) for table, columns in read(SAMPLE).items() for column in (*columns, None)]
    stretch = len(names) // REAL_REMOVALS + 1
    for begin in range(0, len(names), stretch):
        yield from itertools.islice((one for one in names[begin : begin + stretch] if removable(*one)), 1)


@pytest.fixture(scope="module")
def before(specimen_template):
    return specimen.export(specimen_template, TREE)[1]


@pytest.mark.parametrize(("table", "column"), list(some_removable()))
def test_what_is_allowed_to_be_absent_is_an_omission_and_the_rest_of_the_export_is_unchanged(
    table, column, before, specimen_template
):
    uri, name = specimen_template, f"{table}.{column}" if column else table
    with renamed(uri, table, column, f"was_{column or table}"):
        with pytest.raises(SourceChanged) as caught:
            specimen.export(uri, TREE)
        named(caught, name)
        bound, after = specimen.export(uri, TREE, allowed=[name])
    assert {item.omission for item in bound.left_out} == {True}
    assert all(item.why.endswith("; this was allowed") for item in bound.left_out)
    tops = {item.path.partition(".")[0] for item in bound.left_out}
    assert all(bound.omissions(top) for top in tops)
    gone = touched(bound)
    for name in before:
        was, now = parsed(before[name]), parsed(after[name])
        if name not in gone:
            assert [stripped(one, name, gone) for one in now] == [stripped(one, name, gone) for one in was]
    assert {name for name in before if after[name] != before[name]} <= tops


def touched(bound: BoundTree) -> set[str]:
    """Return the paths of what an absence may change.

    They include relations that are read from their successor, values of a row beside that is found in another way, and
    nested relations that join on such a value or on one that is gone.
    """
    gone = {item.path for item in bound.left_out}
    there = dict(bound.tree.walk())
    for path, relation in TREE.walk():
        own = {ref.column for row in relation.beside for _, refs in row.match for ref in refs if not ref.row}
        found_otherwise = not own <= {*bound.catalogue.get(relation.table, own)}
        if path in there and there[path].table != relation.table:
            gone.add(path)
        if found_otherwise:
            gone |= {f"{path}.{key.name}" for key in relation.keys if key.form.of}
        for name, value in relation.derived:
            if f"{path}.{name}" in gone or (found_otherwise and isinstance(value, Form) and value.of):
                gone |= {f"{path}.{child.name}" for child in relation.children if name in dict(child.join).values()}
    return gone


def test_a_gitlab_that_stores_no_metadata_of_commits_is_exported_as_its_version_has_it(before, specimen_copy):
    with psycopg.connect(specimen_copy) as conn:
        conn.execute("UPDATE merge_request_diff_commits SET sha = 'abc', commit_author_id = 1")
        conn.execute("ALTER TABLE merge_request_diff_commits DROP merge_request_commits_metadata_id, DROP project_id")
        conn.execute("ALTER TABLE namespaces DROP state")
        conn.execute("DROP TABLE merge_request_commits_metadata, merge_request_diff_commits_b5377a7a34 CASCADE")
        conn.execute("CREATE TABLE work_item_types (id bigint, base_type smallint)")
        conn.execute("INSERT INTO work_item_types SELECT id, id - 1 FROM generate_series(1, 9) AS id")
    with pytest.raises(SourceChanged, match="table merge_request_commits_metadata"):
        specimen.export(specimen_copy, TREE)
    bound, after = specimen.export(specimen_copy, TREE, "17.1.0")
    path = "merge_requests.merge_request_diff.merge_request_diff_commits"
    why = "the source has no merge_request_diff_commits.merge_request_commits_metadata_id"
    assert f"{path}.merge_request_commits_metadata: left out, {why}" in bound.remarks("merge_requests")
    assert not [item for item in bound.left_out if item.omission]
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
