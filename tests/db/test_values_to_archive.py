"""The whole way of odd values: from the database into the published archive, and past its check."""

from __future__ import annotations

import json
import math
import struct
import tarfile
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import psycopg
import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg import sql
from psycopg.sql import SQL
from psycopg.sql import Identifier as Id
from psycopg.types.json import Jsonb

from project_export.archive.manifest import Manifest
from project_export.archive.verify import Report, verify
from project_export.errors import SourceRefused
from project_export.source import Limits, Reader, Session
from project_export.tree import bind, load, tables
from tests.archives import read_archive
from tests.databases import Databases, NewDatabase
from tests.runs import context, merge, path_of, started, work

Export = Callable[..., Path]


@pytest.fixture
def export(tmp_path: Path) -> Export:
    """Export project 1 of a database by a tree, and return the path of its archive."""

    def export(source: str, tree: str | Path = "gitlab", **settings: Any) -> Path:
        folder = tmp_path / uuid.uuid4().hex
        folder.mkdir()
        ledger = f"sqlite:///{folder}/ledger.sqlite"
        ctx = context(source, ledger, folder, tree=str(tree), units=1, **settings)
        created = started(ctx)
        assert work(ctx, created) == []
        return path_of(merge(ctx, created))

    return export


def checked(archive: Path, tree: str | Path = "gitlab") -> Report:
    manifest = Manifest.from_json(archive.with_name("project.manifest.json").read_bytes())
    return verify(archive, manifest, tree=load(str(tree)))


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
    archive = export(generated_copy, locations=f"external_diffs=file://{tmp_path}/diffs")
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
def encoded(new_database: NewDatabase) -> Callable[[str], str]:
    """Make a database of another encoding with a shelf in it."""

    def encoded(encoding: str) -> str:
        uri = new_database(encoding=encoding)
        with psycopg.connect(uri, client_encoding="utf8") as conn:
            conn.execute(SHELF_SQL)
        return uri

    return encoded


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
        pytest.raises(SourceRefused, match=rf"{where}.*: invalid byte sequence .*22021\]"),
    ):
        list(Reader(session, bind(tree, session.catalogue(tables(tree))), 1).read("books"))


NAMES = [
    "100%", "%s", "%%", "%(p0)s", "%b%t", 'a "quoted" one', "it's", "with space", "UPPER", "select", "Straße_名前_😀",
    "<&>", "back\\slash", "a,b", "{}", "$1", ";--", "branch", "t", "l", "r", "w", "k", "c0", "l" * 63, "é" * 31,
]  # fmt: skip
"""Names of tables and columns that SQL, psycopg, JSON or the engine itself could read in another way."""


ROOT, KEY = '100% "root" of %s', "%(id)s é"


def hostile(name: str) -> tuple[list[sql.Composed], dict[str, Any], dict[str, Any]]:
    """Return statements that make tables and columns of a name and alike, a relation of them, and its one record."""
    start = name.encode()[:61].decode(errors="ignore")
    number, words, data = f"{start}1", f"{start}2", f"{start}3"  # columns; these are tables, too
    statements = []
    for table in (name, number, words, data):
        columns = SQL("{} text PRIMARY KEY, {} int, {} text, {} jsonb").format(*map(Id, (name, number, words, data)))
        statements.append(SQL("CREATE TABLE {} ({})").format(Id(table), columns))
        row = sql.Literal(Jsonb({name: 1}))
        statements.append(SQL("INSERT INTO {} VALUES ('1', 2, NULL, {})").format(Id(table), row))
    lookup = {"from": words, "match": {name: name}, "column": number, "else": number}
    order = ['"' + number.replace('"', '""') + '" desc nulls last', '"' + name.replace('"', '""') + '"']
    nested = {"key": [name], "order": order, "keys": [data]}
    relation = {
        **nested,
        "table": name,
        "join": {name: KEY},
        "where": {number: [2, None]},
        "derived": {f"{start}8": lookup},
        "keys": [
            name,
            {number: {"enum": name}},
            {words: {"default": name}},
            data,
            {f"{start}4": {**lookup, "enum": name, "wrap": name}},
            {f"{start}5": {"column": words, "else": name}},
        ],
        "children": [
            {**nested, "relation": f"{start}6", "table": number, "join": {name: name}},
            {**nested, "relation": f"{start}7", "table": data, "join": {number: f"{start}8"}},
        ],
    }
    own = {name: "1", number: name, words: name, data: {name: 1}, f"{start}4": {name: name}, f"{start}5": "1"}
    return statements, relation, own | {f"{start}6": [{data: {name: 1}}], f"{start}7": [{data: {name: 1}}]}


def test_whatever_tables_and_columns_are_called_their_values_leave(
    database: str, export: Export, tmp_path: Path
) -> None:
    made = [hostile(name) for name in NAMES]
    with psycopg.connect(database) as conn:
        conn.execute(SQL("CREATE TABLE {} AS SELECT '1'::text AS {}").format(Id(ROOT), Id(KEY)))
        for statements, _, _ in made:
            for statement in statements:
                conn.execute(statement)
    tree = {
        "name": "hostile",
        "enums": {name: {2: name} for name in NAMES},
        "root": {"relation": "root", "table": ROOT, "key": [KEY], "keys": [KEY]},
        "relations": [{"relation": f"of-{i}", **relation} for i, (_, relation, _) in enumerate(made)],
    }
    (tmp_path / "tree.yaml").write_text(yaml.safe_dump(tree, allow_unicode=True, sort_keys=False))
    archive = export(database, tmp_path / "tree.yaml")
    records = read_archive(archive)
    for i, (_, _, record) in enumerate(made):
        assert records[f"of-{i}"] == [record]
    with tarfile.open(archive) as tar:
        assert json.load(tar.extractfile("./tree/root.json")) == {KEY: "1"}


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
DECIMALS = st.builds(Decimal, st.builds("{}e{}".format, st.integers(-(10**40), 10**40), st.integers(-400, 400)))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | DECIMALS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=6,
)
WORDS = TEXTS.filter(lambda text: not text.startswith(":"))  # which a symbol has
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=6,
)
MOODS = st.sampled_from(["sad", "o'k", "<\\,>", None])


@st.composite
def times(draw: st.DrawFn, last_year: int, form: str) -> tuple[str, str | None]:
    """Return a time, or a date, as PostgreSQL reads it and as it is exported."""
    year, month = draw(st.integers(-4711, last_year) | st.integers(-5, 5)), draw(st.integers(1, 12))
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    day = draw(st.integers(1, (31, 28 + leap, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)[month - 1]))
    second, micro = draw(st.integers(0, 86_399)), draw(st.integers(0, 999_999))
    clock = f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
    shown = f"{year:05d}" if year < 0 else f"{year:04d}"
    stored = f"{year if year > 0 else 1 - year:04d}-{month:02d}-{day:02d} {clock}.{micro:06d}{' BC' * (year <= 0)}"
    leaves = form.format(date=f"{shown}-{month:02d}-{day:02d}", clock=f"{clock}.{micro // 1000:03d}")
    return draw(st.sampled_from([(stored, leaves)] * 8 + [("infinity", None), ("-infinity", None)]))


def same(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, Any]]:
    return strategy.map(lambda value: (value, value))


def floats(width: Literal[32, 64]) -> st.SearchStrategy[tuple[str, float | None]]:
    return st.floats(width=width).map(lambda value: (repr(value), value if math.isfinite(value) else None))


COLUMNS = {
    "words": ("text", same(TEXTS)),
    "small": ("int2", same(st.integers(-(2**15), 2**15 - 1))),
    "large": ("int8", same(st.integers(-(2**63), 2**63 - 1))),
    "exact": ("numeric", DECIMALS.map(lambda value: (str(value), value)) | st.just(("NaN", None))),
    "double": ("float8", floats(64)),
    "single": ("float4", floats(32)),
    "flag": ("bool", same(st.booleans())),
    "raw": ("bytea", st.binary().map(lambda value: (value, value.hex()))),
    "at": ("timestamp", times(294_276, "{date}T{clock}Z")),
    "atz": ("timestamptz", times(294_276, "{date}T{clock}Z")),
    "day": ("date", times(294_276, "{date}")),
    "mood": ("mood", same(MOODS)),
    "moods": ("mood[]", same(st.lists(MOODS))),
    "numbers": ("int8[]", same(st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)))),
    "texts": ("text[]", same(st.lists(st.none() | TEXTS))),
    "data": ("jsonb", JSON.map(lambda value: (written(value), value))),
    "old_data": ("json", JSON.map(lambda value: (written(value), value))),
    "parsed": (
        "text",
        same(st.lists(PLAIN) | st.dictionaries(WORDS, PLAIN)).map(lambda pair: (yaml.safe_dump(pair[0]), pair[1])),
    ),
}
VALUES = st.fixed_dictionaries({name: pairs | st.just((None, None)) for name, (_, pairs) in COLUMNS.items()})


def written(value: Any) -> str:
    """Write JSON in which a Decimal is a number."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} : {written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",  ".join(map(written, value)) + "]"
    return str(value) if isinstance(value, Decimal) else json.dumps(value)


@pytest.fixture(scope="module")
def table_of_values(databases: Databases) -> Iterator[str]:
    with databases.new() as uri:
        with psycopg.connect(uri) as conn:
            conn.execute("CREATE TYPE mood AS ENUM ('sad', 'o''k', '<\\,>')")
            columns = ", ".join(f"{name} {kind}" for name, (kind, _) in COLUMNS.items())
            conn.execute(f"CREATE TABLE boxes AS SELECT 1 AS id; CREATE TABLE items (id int, box_id int, {columns})")  # type: ignore[arg-type]
        yield uri


@given(rows=st.lists(VALUES, min_size=10, max_size=25))
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
def test_every_value_comes_through_the_archive_as_it_is_in_the_database(
    table_of_values: str, export: Export, tmp_path: Path, rows: list[dict[str, tuple[Any, Any]]]
) -> None:
    keys = [name if name != "parsed" else "{parsed: {transform: yaml}}" for name in COLUMNS]
    (tmp_path / "items.yaml").write_text(
        "name: items\nroot: {relation: box, table: boxes, keys: []}\nrelations:\n"
        f"  - {{relation: items, table: items, join: {{box_id: id}}, keys: [{', '.join(keys)}]}}"
    )
    values = SQL(", ").join(SQL("%s::{}").format(SQL(kind)) for kind, _ in COLUMNS.values())
    with psycopg.connect(table_of_values) as conn:
        conn.execute("TRUNCATE items")
        for number, row in enumerate(rows):
            query = SQL("INSERT INTO items SELECT %s, 1, {}").format(values)
            conn.execute(query, [number, *(row[name][0] for name in COLUMNS)])
    archive = export(table_of_values, tmp_path / "items.yaml")
    with tarfile.open(archive) as tar:
        lines = tar.extractfile("./tree/box/items.ndjson").read().split(b"\n")[:-1]
    for line, row in zip(lines, rows, strict=True):
        found = json.loads(line, parse_float=Decimal)
        for name in ("double", "single"):
            found[name] = found[name] if found[name] is None else float(found[name])
        found["single"] = found["single"] and struct.unpack("f", struct.pack("f", found["single"]))[0]
        assert found == {name: leaves for name, (_, leaves) in row.items()}
    assert checked(archive, tmp_path / "items.yaml").problems == ()
