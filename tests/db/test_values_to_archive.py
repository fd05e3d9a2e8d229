"""The whole way of odd values: from the database into the published archive, and past its check."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import yaml
from archives import read_archive
from psycopg.sql import SQL, Literal
from psycopg.sql import Identifier as Id
from psycopg.types.json import Jsonb
from runs import context, merge, path_of, started, work

from project_export.archive.manifest import Manifest
from project_export.archive.verify import Report, verify

Export = Callable[..., Path]


@pytest.fixture
def export(tmp_path: Path) -> Export:
    """Export project 1 of a database by a tree, and return where its archive lies."""

    def export(source: str, tree: str | Path = "gitlab") -> Path:
        ctx = context(source, f"sqlite:///{tmp_path}/ledger.sqlite", tmp_path / "store", tree=str(tree), units=1)
        created = started(ctx)
        assert work(ctx, created) == []
        return path_of(merge(ctx, created))

    return export


def checked(archive: Path) -> Report:
    return verify(archive, Manifest.from_json(archive.with_name("project.manifest.json").read_bytes()))


def test_years_before_christ_leave_as_rails_writes_them_and_are_no_problem(generated_copy: str, export: Export) -> None:
    with psycopg.connect(generated_copy) as conn:
        conn.execute("UPDATE releases SET updated_at = '0044-03-15 12:00:00.1239 BC' WHERE project_id = 1")
        conn.execute("UPDATE issues SET due_date = '0001-02-29 BC' WHERE project_id = 1")
    archive = export(generated_copy)
    records = read_archive(archive)
    assert {release["updated_at"] for release in records["releases"]} == {"-0043-03-15T12:00:00.123Z"}
    assert {issue["due_date"] for issue in records["issues"]} == {"0000-02-29"}
    assert checked(archive).problems == ()


NAMES = [
    "100%", "%s", "%%", "%(p0)s", "%b%t", 'a "quoted" one', "it's", "with space", "UPPER", "select", "Straße_名前_😀",
    "<&>", "back\\slash", "a,b", "{}", "$1", ";--", "branch", "t", "l", "r", "w", "k", "c0", "l" * 63, "é" * 31,
]  # fmt: skip
"""Names of tables and columns that SQL, psycopg, JSON or the engine itself could read in another way."""


@pytest.mark.parametrize("name", NAMES)
def test_whatever_a_table_or_column_is_called_its_values_leave(
    database: str, export: Export, tmp_path: Path, name: str
) -> None:
    start = name.encode()[:61].decode(errors="ignore")
    number, words, data = f"{start}1", f"{start}2", f"{start}3"  # columns; these are tables, too
    with psycopg.connect(database) as conn:
        for table in (name, number, words, data):
            columns = SQL("{} text PRIMARY KEY, {} int, {} text, {} jsonb").format(
                *map(Id, (name, number, words, data))
            )
            conn.execute(SQL("CREATE TABLE {} ({})").format(Id(table), columns))
            row = SQL("INSERT INTO {} VALUES ('1', 2, NULL, {})").format(Id(table), Literal(Jsonb({name: 1})))
            conn.execute(row)
    lookup = {"from": words, "match": {name: name}, "column": number, "else": number}
    order = ['"' + number.replace('"', '""') + '" desc nulls last', '"' + name.replace('"', '""') + '"']
    nested = {"join": {name: name}, "key": [name], "order": order, "keys": [data]}
    keys = [
        name,
        {number: {"enum": name}},
        {words: {"default": name}},
        data,
        {f"{start}4": {**lookup, "enum": name, "wrap": name}},
        {f"{start}5": {"column": words, "else": name}},
    ]
    children = [
        {**nested, "relation": f"{start}6", "table": number},
        {**nested, "relation": f"{start}7", "table": data, "join": {number: f"{start}8"}},
    ]
    top = {"relation": "items", "table": name, "where": {number: [2, None]}, "derived": {f"{start}8": lookup}}
    tree = {
        "name": "hostile",
        "enums": {name: {2: name}},
        "root": {"relation": "root", "table": data, "key": [name], "keys": [name]},
        "relations": [{**nested, **top, "keys": keys, "children": children}],
    }
    (tmp_path / "tree.yaml").write_text(yaml.safe_dump(tree, allow_unicode=True, sort_keys=False))
    own = {name: "1", number: name, words: name, data: {name: 1}, f"{start}4": {name: name}, f"{start}5": "1"}
    inner = [{data: {name: 1}}]
    archive = export(database, tmp_path / "tree.yaml")
    assert read_archive(archive) == {"items": [own | {f"{start}6": inner, f"{start}7": inner}]}
    with tarfile.open(archive) as tar:
        assert json.load(tar.extractfile("./tree/root.json")) == {name: "1"}
