"""The whole way of odd values: from the database into the published archive, and past its check."""

from __future__ import annotations

import json
import tarfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from archives import read_archive
from psycopg.sql import SQL, Literal
from psycopg.sql import Identifier as Id
from psycopg.types.json import Jsonb
from runs import context, merge, path_of, started, work

from dev.postgres import Server
from project_export.archive.manifest import Manifest
from project_export.archive.verify import Report, verify
from project_export.errors import SourceRefused
from project_export.source import Limits, Reader, Session
from project_export.tree import bind, load, tables

Export = Callable[..., Path]


@pytest.fixture
def export(tmp_path: Path) -> Export:
    """Export project 1 of a database by a tree, and return where its archive lies."""

    def export(source: str, tree: str | Path = "gitlab", **settings: Any) -> Path:
        ledger = f"sqlite:///{tmp_path}/ledger.sqlite"
        ctx = context(source, ledger, tmp_path / "store", tree=str(tree), units=1, **settings)
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


def test_diffs_in_files_leave_as_they_did_from_the_database(
    generated_copy: str, export: Export, tmp_path: Path
) -> None:
    before = read_archive(export(generated_copy))["merge_requests"]
    moved = 0
    with psycopg.connect(generated_copy) as conn:
        for diff, request in conn.execute("SELECT id, merge_request_id FROM merge_request_diffs").fetchall():
            content = b""
            query = "SELECT relative_order, diff FROM merge_request_diff_files WHERE merge_request_diff_id = %s"
            for order, text in conn.execute(query, [diff]).fetchall():
                conn.execute(
                    "UPDATE merge_request_diff_files"
                    " SET diff = NULL, external_diff_offset = %s, external_diff_size = %s"
                    " WHERE merge_request_diff_id = %s AND relative_order = %s",
                    [len(content), len((text or "").encode()), diff, order],
                )
                content += (text or "").encode()
                moved += 1
            file = tmp_path / "diffs" / "merge_request_diffs" / f"mr-{request}" / f"diff-{diff}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            conn.execute(
                "UPDATE merge_request_diffs SET stored_externally = true, external_diff = %s WHERE id = %s",
                [file.name, diff],
            )
    archive = export(generated_copy, external_store=f"file://{tmp_path}/diffs")
    assert moved > 10
    assert read_archive(archive)["merge_requests"] == before
    assert checked(archive).problems == ()
    left_out = read_archive(export(generated_copy))["merge_requests"]
    assert {
        file["utf8_diff"] for one in left_out for file in one["merge_request_diff"]["merge_request_diff_files"]
    } == {""}


SHELF = """
name: shelf
root: {relation: shelf, table: shelves, key: [id], keys: [name]}
relations:
  - relation: books
    table: books
    join: {shelf_id: id}
    key: [title]
    order: [title]
    keys: [title, plain, {data: {column: data}}, {text: {transform: yaml}}]
    children:
      - {relation: pages, table: pages, join: {title: title}, order: [words], keys: [words]}
"""
SHELF_SQL = """
CREATE TABLE shelves (id int PRIMARY KEY, name text);
CREATE TABLE books (shelf_id int, title text, plain text, data json, text text);
CREATE TABLE pages (title text, words text);
INSERT INTO shelves VALUES (1, 'shelf');
INSERT INTO books SELECT 1, i, 'caf\u00e9 <>', '{"a": "\u00e9"}', 'b: \u00e9' FROM generate_series(1, 3) AS i;
INSERT INTO pages SELECT title, 'p\u00e9' FROM books;
"""


@pytest.fixture
def encoded(server: Server) -> Iterator[Callable[[str], str]]:
    """Make a database of another encoding with a shelf in it."""
    name = f"encoded_{uuid.uuid4().hex}"

    def encoded(encoding: str) -> str:
        with psycopg.connect(server.uri(), autocommit=True) as conn:
            options = SQL("TEMPLATE template0 LOCALE 'C' ENCODING {}").format(Literal(encoding))
            conn.execute(SQL("CREATE DATABASE {} {}").format(Id(name), options))
        with psycopg.connect(server.uri(name), client_encoding="utf8") as conn:
            conn.execute(SHELF_SQL)
        return server.uri(name)

    yield encoded
    server.drop_database(name)


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "EUC_JIS_2004"])
def test_text_of_any_encoding_leaves_as_utf_8(
    encoded: Callable[[str], str], export: Export, tmp_path: Path, encoding: str
) -> None:
    (tmp_path / "tree.yaml").write_text(SHELF)
    source = encoded(encoding)
    book = {"plain": "café <>", "data": {"a": "é"}, "text": {"b": "é"}, "pages": [{"words": "pé"}]}
    assert read_archive(export(source, tmp_path / "tree.yaml"))["books"] == [{"title": i} | book for i in "123"]


@pytest.mark.parametrize(
    ("statement", "where"),
    [
        (rb"UPDATE books SET plain = E'\xe9' WHERE title = '2'", "books of table books"),
        (rb"""UPDATE books SET data = E'{"a": ["\xc3"]}' WHERE title = '2'""", "books of table books"),
        (rb"""UPDATE books SET data = E'{"\xed\xa0\x80": 1}' WHERE title = '2'""", "books of table books"),
        (rb"UPDATE books SET text = E'b: \xff' WHERE title = '2'", "books of table books"),
        (rb"UPDATE books SET title = E'\xe9' WHERE title = '2'", "books of table books"),
        (rb"UPDATE pages SET words = E'\xf0\x9f\x98' WHERE title = '2'", "books.pages of table pages"),
        (rb"UPDATE shelves SET name = E'\xe9'", "shelf of table shelves"),
    ],
)  # fmt: skip
def test_bytes_that_are_no_utf_8_are_refused_by_relation_and_table(
    encoded: Callable[[str], str], tmp_path: Path, statement: bytes, where: str
) -> None:
    (tmp_path / "tree.yaml").write_text(SHELF)
    tree = load(str(tmp_path / "tree.yaml"))
    source = encoded("SQL_ASCII")
    with psycopg.connect(source, client_encoding="utf8") as conn:
        conn.execute(statement)
    with (
        Session(lambda: psycopg.connect(source), "test", Limits()) as session,
        pytest.raises(SourceRefused, match=rf"{where}: invalid byte sequence .*22021\]"),
    ):
        list(Reader(session, bind(tree, session.catalogue(tables(tree))), 1).read("books"))


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
