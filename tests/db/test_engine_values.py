"""The engine on small schemas of its own: it knows no GitLab, and no value changes on its way."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from psycopg.types.json import Jsonb

from project_export.errors import ProjectNotFound, SourceRefused
from project_export.source import Limits, Reader, Session
from project_export.tree import bind, load, tables

LIBRARY = """
name: library
format: gitlab
enums: {kind: {null: unknown, 1: novel, 2: poem}}
parameters: {motto: {type: string}}
root: {relation: author, table: authors, keys: [name, {motto: {parameter: motto}}]}
relations:
  - relation: books
    table: books
    join: {author_id: id}
    where: {hidden: [null, false]}
    order: [position nulls last, id]
    keys: [title, {kind: {enum: kind}}, {genre: {from: genres, match: {id: genre_id}, column: name, else: genre_text}}]
    children:
      - {relation: cover, table: covers, one: true, join: {book_id: id}, order: [made_at desc], keys: [colour]}
      - {relation: draft, table: covers, one: true, join: {book_id: id}, order: [made_at], keys: [colour]}
      - relation: pages
        table: pages
        join: {book: id, edition: edition}
        order: [number]
        keys: [number]
        children:
          - {relation: genre, table: genres, one: true, join: {id: genre_id}, keys: []}
  - {relation: patron, table: patrons, one: true, join: {id: patron_id}, keys: [name]}
  - {relation: fans, table: patrons, join: {id: patron_id}, keys: [name]}
"""
LIBRARY_SQL = """
CREATE TABLE authors (id int PRIMARY KEY, name text, motto text, patron_id int);
CREATE TABLE books (id bigint PRIMARY KEY, author_id bigint, title text, kind smallint, hidden bool, position int,
                    genre_id int, genre_text text, edition text);
CREATE TABLE covers (book_id int, colour text, made_at date);
CREATE TABLE pages (book int, edition varchar, number int, genre_id int);
CREATE TABLE genres (id int PRIMARY KEY, name text);
CREATE TABLE patrons (id int PRIMARY KEY, name text);
INSERT INTO genres VALUES (1, 'crime'), (2, NULL);
INSERT INTO patrons VALUES (9, 'Maecenas');
INSERT INTO authors VALUES (7, 'Ann', 'old', NULL), (8, 'Bob', NULL, 9);
INSERT INTO books VALUES (1, 7, 'last', 1, NULL, NULL, 1, 'x', 'a'), (2, 7, 'second', NULL, false, 5, 2, 'y', 'a'),
                         (3, 7, 'first', 2, NULL, 1, NULL, NULL, NULL), (4, 7, 'hidden', 1, true, 0, 1, 'x', 'a'),
                         (5, 8, 'other', 1, NULL, 1, 1, 'x', 'a');
INSERT INTO covers VALUES (1, 'red', '2020-01-01'), (1, 'blue', '2021-01-01'), (2, 'green', '2020-01-01');
INSERT INTO pages VALUES (1, 'a', 2, NULL), (1, 'a', 1, 1), (1, 'b', 3, NULL), (2, 'a', 1, NULL);
"""

Read = Callable[..., Reader]


@pytest.fixture
def read(database: str, tmp_path: Path) -> Iterator[Read]:
    """Run SQL in a fresh database, and read it by a tree."""
    sessions = []

    def read(sql: str, tree: str, root: int = 1, **options: Any) -> Reader:
        with psycopg.connect(database) as conn:
            conn.execute(sql)
        path = tmp_path / f"tree{len(sessions)}.yaml"
        path.write_text(tree)
        session = Session(lambda: psycopg.connect(database), "test", Limits())
        sessions.append(session)
        loaded = load(str(path))
        return Reader(session, bind(loaded, session.catalogue(tables(loaded))), root, **options)

    yield read
    for session in sessions:
        session.close()


def text(reader: Reader, name: str, part: int = 0, parts: int = 1) -> str:
    return b"".join(chunk.data for chunk in reader.read(name, part, parts)).decode()


def records(reader: Reader, name: str) -> list[Any]:
    return [json.loads(line) for line in text(reader, name).split("\n")[:-1]]


def test_a_schema_that_is_not_gitlab_is_exported(read: Read) -> None:
    reader = read(LIBRARY_SQL, LIBRARY, 7)
    assert text(reader, "author") == '{"name":"Ann","motto":"old"}'
    assert text(reader, "books").splitlines() == [
        '{"title":"first","kind":"poem","genre":null,"pages":[]}',
        '{"title":"second","kind":"unknown","genre":"y","cover":{"colour":"green"},"draft":{"colour":"green"},'
        '"pages":[{"number":1}]}',
        '{"title":"last","kind":"novel","genre":"crime","cover":{"colour":"blue"},"draft":{"colour":"red"},'
        '"pages":[{"number":1,"genre":{}},{"number":2}]}',
    ]
    assert reader.count("books") == 3


def test_a_relation_whose_join_is_null_has_no_records(read: Read) -> None:
    reader = read(LIBRARY_SQL, LIBRARY, 7)
    assert (text(reader, "patron"), text(reader, "fans")) == ("null", "")
    assert (reader.count("patron"), reader.count("fans")) == (0, 0)
    other = read("", LIBRARY, 8)
    assert (text(other, "patron"), text(other, "fans")) == ('{"name":"Maecenas"}', '{"name":"Maecenas"}\n')


def test_a_parameter_replaces_a_value(read: Read) -> None:
    reader = read(LIBRARY_SQL, LIBRARY, 7, parameters={"motto": "<new>", "title": "x"})
    assert text(reader, "author") == '{"name":"Ann","motto":"\\u003cnew\\u003e"}'
    assert text(read("", LIBRARY, 7, parameters={"motto": None}), "author") == '{"name":"Ann","motto":"old"}'


def test_a_missing_project_is_named(read: Read) -> None:
    with pytest.raises(ProjectNotFound, match="project 4711 is not in authors"):
        read(LIBRARY_SQL, LIBRARY, 4711)


ITEMS = """
name: items
format: gitlab
root: {{relation: box, table: boxes, keys: []}}
relations:
  - {{relation: items, table: items, join: {{box_id: id}}, {more}}}
"""


def items(columns: str, more: str, values: str = "") -> tuple[str, str]:
    """Return SQL of a box 1 with items, and its tree. values: of rows, after id and box_id."""
    sql = [
        "CREATE TABLE boxes (id int PRIMARY KEY)",
        f"CREATE TABLE items (id int, box_id int, {columns})",
        "INSERT INTO boxes VALUES (1)",
        *([f"INSERT INTO items VALUES {values}"] if values else []),  # noqa: S608
    ]
    return ";".join(sql), ITEMS.format(more=more)


def test_what_html_and_javascript_misread_is_escaped(read: Read) -> None:
    value = r"""U&'<b>&amp;\2028\2029 \\ " / é' || chr(127) || E'\t\n\r'"""
    reader = read(*items("name text", "keys: [name]", f"(1, 1, {value})"))
    assert text(reader, "items") == (
        r'{"name":"\u003cb\u003e\u0026amp;\u2028\u2029 \\ \" / é' + "\x7f" + r"\t\n\r" + '"}\n'
    )  # fmt: skip


def test_types_are_exported_in_their_forms(read: Read) -> None:
    columns = "raw bytea, at timestamp, atz timestamptz, f float8, n numeric, d date, j jsonb, s json, tags text[]"
    values = r"""(1, 1, '\xDEADBEEF', '2024-02-29 12:34:56.789999', '2024-02-29 12:34:56+02', 'NaN', 1.50, '2024-02-29',
                  '{"b": [1, 2],  "a": "x y"}', E'{ "b" : 1,\n "a" : {} }', '{a,NULL}'),
                 (2, 1, NULL, 'infinity', NULL, '-Infinity', 'NaN', NULL, '1', NULL, NULL)"""
    reader = read(*items(columns, "keys: [raw, at, atz, f, n, d, j, s, tags]", values))
    assert text(reader, "items").splitlines() == [
        '{"raw":"deadbeef","at":"2024-02-29T12:34:56.789Z","atz":"2024-02-29T10:34:56.000Z","f":null,"n":1.50,'
        '"d":"2024-02-29","j":{"a":"x y","b":[1,2]},"s":{"b":1,"a":{}},"tags":["a",null]}',
        '{"raw":null,"at":null,"atz":null,"f":null,"n":null,"d":null,"j":1,"s":null,"tags":null}',
    ]


@pytest.mark.parametrize("other", ["j: jsonb", "s: json", "y: text"])
def test_a_number_keeps_its_digits_beside_a_value_that_the_client_forms(read: Read, other: str) -> None:
    name, kind = other.split(": ")
    digits = "12345678901234567890.1234567890"
    extra, fraction = ("{y: {transform: yaml}}", "0.5") if name == "y" else (name, digits)  # Ruby rounds those of YAML
    values = f"""(1, 1, {digits}, 1e400, 9007199254740993, '{{"n":[{fraction}, {2**80}, -7]}}')"""
    reader = read(
        *items(f"n numeric, huge numeric, big bigint, {name} {kind}", f"keys: [n, huge, big, {extra}]", values)
    )
    assert text(reader, "items") == (
        f'{{"n":{digits},"huge":1{"0" * 400},"big":9007199254740993,"{name}":{{"n":[{fraction},{2**80},-7]}}}}\n'
    )


@pytest.mark.parametrize("value", ["1e400", "1.50", "-0.0", "1E-5"])
def test_a_number_in_json_is_exported_as_it_is_written(read: Read, value: str) -> None:
    assert text(read(*items("s json", "keys: [s]", f"(1, 1, '[ {value} ]')")), "items") == f'{{"s":[{value}]}}\n'


def test_a_lookup_that_finds_several_rows_takes_the_first_that_fulfils_its_conditions(read: Read) -> None:
    sql, tree = items(
        "parent int, kind text, name text",
        'keys: [{last: {from: items, match: {parent: id}, where: {kind: ["50%", null]}, order: [id desc],'
        " column: name}}]",
        "(1, 1, NULL, NULL, 'x'), (2, 2, 1, '50%', 'a'), (3, 2, 1, NULL, 'b'), (4, 2, 1, 'other', 'c')",
    )
    assert records(read(sql, tree), "items") == [{"last": "b"}]
    reader = read("DELETE FROM items WHERE id = 3", tree)
    assert records(reader, "items") == [{"last": "a"}]


def test_a_default_replaces_null_only(read: Read) -> None:
    more = 'keys: [{name: {default: ""}}, {size: {default: 7}}, {extra: {transform: yaml, default: {}}}]'
    values = "(1, 1, NULL, NULL, NULL), (2, 1, 'a', 0, 'b: 1'), (3, 1, 'x', 1, '--- ')"
    reader = read(*items("name text, size int, extra text", more, values))
    assert records(reader, "items") == [
        {"name": "", "size": 7, "extra": {}},
        {"name": "a", "size": 0, "extra": {"b": 1}},
        {"name": "x", "size": 1, "extra": {}},
    ]


def test_a_code_without_a_name_is_exported_as_null_and_counted(read: Read) -> None:
    sql, tree = items("kind int", "keys: [{kind: {enum: kind}}]", "(1, 1, 1), (2, 1, 77), (3, 1, 78), (4, 1, NULL)")
    reader = read(sql, "enums: {kind: {1: one}}" + tree)
    assert [record["kind"] for record in records(reader, "items")] == ["one", None, None, None]
    assert dict(reader.omissions) == {"items.kind: a code without a name was exported as null": 2}


def test_a_wrapped_value_is_exported_as_an_object(read: Read) -> None:
    sql, tree = items("kind int", "keys: [{type: {column: kind, enum: kind, wrap: base}}]", "(1, 1, 1), (2, 1, NULL)")
    reader = read(sql, "enums: {kind: {1: one}}" + tree)
    assert [record["type"] for record in records(reader, "items")] == [{"base": "one"}, {"base": None}]


def test_a_default_also_replaces_a_code_without_a_name_which_is_counted(read: Read) -> None:
    more = "keys: [{kind: {enum: kind, default: none}}, {type: {column: kind, enum: kind, default: none, wrap: base}}]"
    sql, tree = items("kind int", more, "(1, 1, 1), (2, 1, NULL), (3, 1, 77)")
    reader = read(sql, "enums: {kind: {1: one}}" + tree)
    assert records(reader, "items") == [{"kind": name, "type": {"base": name}} for name in ("one", "none", "none")]
    said = 'a code without a name was exported as "none"'
    assert dict(reader.omissions) == {f"items.kind: {said}": 1, f"items.type: {said}": 1}


def test_a_transform_is_applied_only_when_its_column_says_so(read: Read) -> None:
    more = "keys: [{diff: {transform: base64_text, when: packed}}]"
    reader = read(
        *items("diff text, packed bool", more, "(1, 1, 'aMOp', true), (2, 1, 'aMOp', false), (3, 1, 'aMOp', NULL)")
    )
    assert [record["diff"] for record in records(reader, "items")] == ["hé", "aMOp", "aMOp"]


DEEP = "repeat('[', {0}) || repeat(']', {0})"


@pytest.mark.parametrize(
    ("column", "transform", "value", "said"),
    [
        ("text", "yaml", "'[a'", "not readable as YAML"),
        ("text", "yaml", """'{"a": .NaN}'""", "JSON has no number"),
        ("text", "yaml", r"""'{"a": "\ud800"}'""", "not readable as YAML"),
        ("text", "yaml_hash", "'[1]'", "YAML of list where a hash belongs"),
        ("text", "yaml_hash", "'text'", "YAML of str where a hash belongs"),
        ("text", "yaml_hash", "'[a'", "not readable as YAML"),
        ("text", "yaml", "'a: .inf'", "JSON has no number"),
        ("text", "yaml", "'&a [*a]'", "recursion"),
        ("jsonb", "yaml", "'[1]'", ""),
        ("text", "yaml", DEEP.format(254), "Recursion limit"),
        ("text", "yaml", DEEP.format(5000), "recursion depth"),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_exported_names_relation_key_and_row(
    read: Read, column: str, transform: str, value: str, said: str
) -> None:
    more = f"keys: [name, {{extra: {{transform: {transform}}}}}]"
    reader = read(*items(f"name text, extra {column}", more, f"(1, 1, 'x', NULL), (42, 1, 'y', {value})"))
    with pytest.raises(SourceRefused, match=r"items\.extra of the row with id 42: ") as caught:
        text(reader, "items")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "stored", "shown"),
    [
        ("float4", "1000000", "1000000.0"), ("float4", "123456789", "123456790.0"), ("float4", "-1e7", "-10000000.0"),
        ("float4", "0.1", "0.1"), ("float4", "1e-10", "1e-10"), ("float8", "999999999999999", "999999999999999.0"),
        ("float8", "1e15", "1e+15"), ("float8", "-0", "-0.0"),
    ],
)  # fmt: skip
def test_a_whole_float_has_a_fraction(read: Read, kind: str, stored: str, shown: str) -> None:
    reader = read(*items(f"f {kind}", "keys: [f]", f"(1, 1, '{stored}')"))
    assert text(reader, "items") == f'{{"f":{shown}}}\n'


@pytest.mark.parametrize("kind", ["json", "jsonb"])
def test_json_that_is_nested_too_deep_names_relation_key_and_row(read: Read, kind: str) -> None:
    rows = f"(41, 1, ({DEEP.format(250)})::{kind}), (42, 1, ({DEEP.format(254)})::{kind})"
    reader = read(*items(f"extra {kind}", "keys: [extra]", rows))
    with pytest.raises(SourceRefused, match=r"items\.extra of the row with id 42: Recursion limit"):
        text(reader, "items")


def test_half_a_surrogate_pair_names_relation_key_and_row(read: Read) -> None:
    reader = read(*items("extra json", "keys: [extra]", r"""(42, 1, '["\ud800"]')"""))
    with pytest.raises(SourceRefused, match=r"items\.extra of the row with id 42: "):
        text(reader, "items")


def test_a_nested_row_is_named_by_what_joins_it(read: Read) -> None:
    tags = "{relation: tags, table: items, join: {parent: id}, keys: [{x: {transform: yaml}}]}"
    tree = ITEMS.format(more=f"keys: [], children: [{tags}]")
    sql, _ = items("parent int, x text", "", "(5, 1, NULL, NULL), (6, 2, 5, '[a')")
    with pytest.raises(SourceRefused, match=r"items\.tags\.x of the row with parent 5: "):
        text(read(sql, tree), "items")


def test_a_key_that_is_not_one_loses_no_row(read: Read) -> None:
    reader = read(*items("name text", "key: [name], order: [id], keys: [id]", "(1, 1, 'a'), (2, 1, 'a'), (3, 1, 'b')"))
    with pytest.raises(SourceRefused, match=r"items: 3 keys \(name\) find .* Give the relation a key that"):
        text(reader, "items")


def test_a_key_of_two_columns_identifies_rows(read: Read) -> None:
    more = "key: [id, name], order: [id desc, name], keys: [id, name]"
    reader = read(*items("name text", more, "(1, 1, 'a'), (2, 1, 'a'), (2, 1, 'b')"), batch_rows=1)
    assert [(r["id"], r["name"]) for r in records(reader, "items")] == [(2, "a"), (2, "b"), (1, "a")]


def test_parts_do_not_overlap_if_rows_are_equal_in_the_order(read: Read) -> None:
    values = ", ".join(f"({number}, 1, 0)" for number in range(200, 0, -1))
    reader = read(*items("position int", "order: [position], keys: [id]", values))
    found = [json.loads(line)["id"] for part in range(7) for line in text(reader, "items", part, 7).splitlines()]
    assert found == list(range(1, 201))


def test_names_that_are_sql_keywords_are_quoted(read: Read) -> None:
    sql = """CREATE TABLE "select" (id int, "from" text, "a ""b"" c" int); INSERT INTO "select" VALUES (1, 'x', 2)"""
    tree = """{name: odd, root: {relation: root, table: select, keys: [from, 'a "b" c']}, relations: []}"""
    assert text(read(sql, tree), "root") == r'{"from":"x","a \"b\" c":2}'


def test_every_character_is_exported_unchanged(read: Read, database: str) -> None:
    planes = [chr(plane << 16 | code) for plane in range(1, 17) for code in (0, 0x1F600 & 0xFFFF, 0xFFFD, 0xFFFF)]
    characters = "".join([*map(chr, range(1, 0xD800)), *map(chr, range(0xE000, 0x10000)), *planes])
    sql, tree = items(
        "t text, j jsonb, s json, e json, y text, ts text[]",
        "keys: [t, j, s, e, {y: {transform: yaml}}, ts]",
    )
    value = {characters: characters}
    raw, escaped = json.dumps(value, ensure_ascii=False), json.dumps(value)
    with psycopg.connect(database) as conn:
        conn.execute(sql.encode())
        row = [characters, Jsonb(value), raw, escaped, yaml.safe_dump(value), [characters]]
        conn.execute("INSERT INTO items VALUES (1, 1, %s, %s, %s, %s, %s, %s)", row)
    reader = read("SELECT 1", tree)
    line = text(reader, "items")
    assert json.loads(line) == {"t": characters, "j": value, "s": value, "e": value, "y": value, "ts": [characters]}
    assert not set("<>&\u2028\u2029") & set(line)


@pytest.mark.parametrize("batch_bytes", [1, 50])
def test_what_is_odd_is_counted_once_though_its_batch_is_read_again(read: Read, batch_bytes: int) -> None:
    sql = LIBRARY_SQL + "UPDATE books SET kind = 77 WHERE title = 'second'"  # noqa: S608
    reader = read(sql, LIBRARY, 7, batch_bytes=batch_bytes)
    assert sum(chunk.records for chunk in reader.read("books")) == 3
    assert dict(reader.omissions) == {"books.kind: a code without a name was exported as null": 1}


def test_nothing_changes_where_not_even_a_row_fits(read: Read) -> None:
    whole, small = read(LIBRARY_SQL, LIBRARY, 8), read("", LIBRARY, 8, batch_bytes=0)
    for name in ("author", "books", "patron", "fans"):
        assert text(small, name) == text(whole, name)


def test_a_long_value_is_exported_piece_by_piece_with_its_escapes(read: Read) -> None:
    value = "<\u2028\u2029\U0001f600>" * 100_000
    sql, tree = items("name text, notes text", "keys: [name, notes]")
    reader = read(sql + f";INSERT INTO items VALUES (1, 1, '{value}', 'x'), (2, 1, 'y', 'z')", tree)  # noqa: S608
    chunks = list(reader.read("items"))
    shown = r"\u003c\u2028\u2029" + "\U0001f600" + r"\u003e"
    assert b"".join(chunk.data for chunk in chunks).decode() == (
        '{"name":"' + shown * 100_000 + '","notes":"x"}\n{"name":"y","notes":"z"}\n'
    )
    assert max(len(chunk.data) for chunk in chunks) < 1 << 20
    assert [chunk.records for chunk in chunks if chunk.records] == [1, 1]


def test_a_long_value_that_is_transformed_is_read_whole(read: Read) -> None:
    sql, tree = items("extra text, name text", "keys: [{extra: {transform: yaml}}, name]")
    reader = read(f"{sql};INSERT INTO items SELECT 1, 1, to_json(repeat('<\u00e9', 700000)), 'x'", tree)
    assert text(reader, "items") == '{"extra":"' + r"\u003cé" * 700_000 + '","name":"x"}\n'


@pytest.mark.parametrize("batch_bytes", [1, 4 << 20])
def test_a_large_record_whose_key_is_not_one_is_refused(read: Read, batch_bytes: int) -> None:
    sql, tree = items("name text", "key: [name], order: [id], keys: [id]", "(1, 1, 'a'), (2, 1, 'a')")
    with pytest.raises(SourceRefused, match=r"items: [12] keys \(name\) find [24] rows"):
        text(read(sql, tree, batch_bytes=batch_bytes, batch_rows=1), "items")
