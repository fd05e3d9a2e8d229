"""Databases in encodings other than UTF-8: all text is exported, or the error names the row of text that cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from dev.postgres import Server
from project_export.errors import SourceRefused
from project_export.sample import schema
from project_export.source import Limits, Reader, Session
from project_export.source.encodings import known
from project_export.source.values import SPACES
from project_export.tree import bind, load, tables
from tests import specimen
from tests.databases import NewDatabase

TREE = """
name: shop
root: {relation: shop, table: shops, keys: [name]}
relations:
  - relation: goods
    table: goods
    join: {shop_id: id}
    order: [id]
    keys: [name, {note: {column: note, blank: true, default: none}}]
    children:
      - relation: prices
        table: prices
        join: {good_id: id}
        order: [id]
        keys: [text]
        children:
          - {relation: tags, table: tags, join: {price_id: id}, order: [word], keys: [word]}
          - {relation: marks, table: marks, join: {price_id: id}, order: [place], keys: [word]}
"""
TABLES = """
CREATE TABLE shops (id int PRIMARY KEY, name text);
CREATE TABLE goods (id int PRIMARY KEY, shop_id int, name text, note text);
CREATE TABLE prices (id bigint PRIMARY KEY, good_id int, text text);
CREATE TABLE tags (price_id bigint, place int, word text, PRIMARY KEY (price_id, place));
CREATE TABLE marks (price_id bigint, place int, word text);
INSERT INTO shops VALUES (1, 'shop');
INSERT INTO goods SELECT n, 1, 'good ' || n, 'note' FROM generate_series(1, 40) AS n;
INSERT INTO prices SELECT n, 1 + n % 40, 'price ' || n FROM generate_series(1, 400) AS n;
INSERT INTO tags SELECT 1 + n % 400, n / 400, 'tag' || n FROM generate_series(1, 1999) AS n;
INSERT INTO marks SELECT * FROM tags;
"""
TEXTS = {
    "UTF8": ("Grüße, 你好 \u2003", ["\u3000\u2003 ", "\u2028"]),
    "LATIN1": ("Grüße, café", ["\xa0 \t", "\x85"]),
    "EUC_CN": ("你好", ["\u3000", " \t"]),
    "WIN1252": ("“Grüße” 5 €", ["\xa0"]),
    "SQL_ASCII": ("Grüße, 你好", [" \t"]),
}
"""By encoding: a text, and texts that are blank."""

Make = Callable[..., str]


@pytest.fixture
def make(new_database: NewDatabase) -> Make:
    """Make databases of an encoding."""

    def make(encoding: str, statements: str = "") -> str:
        uri = new_database(encoding=encoding)
        with psycopg.connect(uri, client_encoding="UTF8") as conn:
            conn.execute(statements.encode())
        return uri

    return make


def change(uri: str, statement: str, *values: Any) -> None:
    with psycopg.connect(uri, client_encoding="UTF8") as conn:
        conn.execute(statement.encode(), values)


def poison(uri: str, table: str, column: str, condition: str, data: bytes = b"caf\xe9 \x80") -> None:
    """Put bytes into a row as a client does that says nothing of their encoding."""
    with psycopg.connect(uri, client_encoding="SQL_ASCII") as conn:
        statement = f"UPDATE {table} SET {column} = convert_from(%s, 'SQL_ASCII') WHERE {condition}"  # noqa: S608
        assert conn.execute(statement.encode(), [data]).rowcount == 1


def read(uri: str, tmp_path: Path, relation: str, **options: Any) -> list[Any]:
    file = tmp_path / "tree.yaml"
    file.write_text(TREE)
    tree = load(str(file))
    with Session(lambda: psycopg.connect(uri), "test", Limits()) as session, session.attempt(relation):
        reader = Reader(session, bind(tree, session.catalogue(tables(tree))), 1, **options)
        return [json.loads(line) for line in b"".join(c.data for c in reader.read(relation)).splitlines()]


@pytest.mark.parametrize("encoding", TEXTS)
def test_text_of_any_encoding_is_exported_and_white_space_is_blank(make: Make, tmp_path: Path, encoding: str) -> None:
    text, blanks = TEXTS[encoding]
    uri = make(encoding, TABLES)
    change(uri, "UPDATE goods SET name = %s, note = %s WHERE id = 1", text, f" {text} ")
    for number, blank in enumerate(blanks, start=2):
        change(uri, "UPDATE goods SET note = %s WHERE id = %s", blank, number)
    goods = read(uri, tmp_path, "goods")
    assert (goods[0]["name"], goods[0]["note"]) == (text, f" {text} ")
    assert [good["note"] for good in goods[1 : 1 + len(blanks)]] == ["none"] * len(blanks)
    assert goods[10]["note"] == "note"


def test_text_is_exported_as_utf_8_whatever_encoding_clients_get_by_default(make: Make, tmp_path: Path) -> None:
    uri = make("UTF8", TABLES)
    change(uri, "UPDATE goods SET name = %s WHERE id = 1", "Grüße, 你好")
    database = psycopg.conninfo.conninfo_to_dict(uri)["dbname"]
    change(uri, f"ALTER DATABASE \"{database}\" SET client_encoding TO 'LATIN1'")
    with psycopg.connect(uri) as conn:
        assert conn.info.encoding == "iso8859-1"
    assert read(uri, tmp_path, "goods")[0]["name"] == "Grüße, 你好"


def test_a_sign_whose_bytes_are_those_of_spaces_is_not_blank(make: Make, tmp_path: Path) -> None:
    uri = make("SQL_ASCII", TABLES)
    change(uri, "UPDATE goods SET note = %s WHERE id = 1", "₠")
    assert read(uri, tmp_path, "goods")[0]["note"] == "₠"


@pytest.mark.parametrize("encoding", [name for name in TEXTS if name != "UTF8"])
def test_a_project_of_another_encoding_is_exported_as_from_utf_8(
    make: Make, database: str, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(specimen, "NASTY", " <&>")
    exports = []
    for uri in (database, make(encoding)):
        with psycopg.connect(uri, client_encoding="UTF8") as conn:
            schema.create(conn)
        specimen.write(uri, load("gitlab"))
        exports.append(specimen.export(uri)[1])
    assert exports[0] == exports[1]
    assert b"\\u003c\\u0026\\u003e" in exports[0]["issues"]


@pytest.mark.parametrize("rows", [1, 7, 1000])
@pytest.mark.parametrize(
    ("table", "column", "condition", "relation", "named"),
    [
        ("goods", "name", "id = 1", "goods", "goods of table goods: .* goods with id 1"),
        ("goods", "name", "id = 40", "goods", "goods of table goods: .* goods with id 40"),
        ("prices", "text", "id = 33", "goods", "goods.prices of table prices: .* prices with id 33"),
        ("prices", "text", "id = 400", "goods", "goods.prices of table prices: .* prices with id 400"),
        ("tags", "word", "word = 'tag999'", "goods", "tags of table tags: .* tags with price_id 200, place 2"),
        ("marks", "word", "word = 'tag999'", "goods", "marks of table marks: .* marks with price_id 200"),
        ("shops", "name", "id = 1", "shop", "shop of table shops, id 1: "),
    ],
)
def test_bytes_that_are_not_text_are_reported_with_their_row(
    make: Make, tmp_path: Path, table: str, column: str, condition: str, relation: str, named: str, rows: int
) -> None:
    uri = make("SQL_ASCII", TABLES)
    poison(uri, table, column, condition)
    with pytest.raises(SourceRefused, match=rf"{named}(\.|invalid)") as caught:
        read(uri, tmp_path, relation, batch_rows=rows)
    assert caught.value.sqlstate == "22021"


def test_a_character_that_utf_8_lacks_is_reported_with_its_row(make: Make, tmp_path: Path) -> None:
    uri = make("EUC_CN", TABLES)
    with psycopg.connect(uri, client_encoding="EUC_CN") as conn:
        conn.execute(b"UPDATE prices SET text = convert_from('\\xa2a1'::bytea, 'EUC_CN') WHERE id = 34")
    with pytest.raises(SourceRefused, match="it is in the row of prices with id 34") as caught:
        read(uri, tmp_path, "goods")
    assert caught.value.sqlstate == "22P05"


def test_bytes_that_are_not_text_in_a_record_read_by_slices_are_reported(make: Make, tmp_path: Path) -> None:
    uri = make("SQL_ASCII", TABLES)
    change(uri, "UPDATE goods SET name = repeat('0123456789', 300000) WHERE id = 7")
    poison(uri, "prices", "text", "id = 6")
    with pytest.raises(SourceRefused, match="it is in the row of prices with id 6"):
        read(uri, tmp_path, "goods", batch_bytes=1 << 16)


def test_the_transaction_is_usable_after_the_search(make: Make, tmp_path: Path) -> None:
    uri = make("SQL_ASCII", TABLES)
    poison(uri, "goods", "name", "id = 20")
    file = tmp_path / "tree.yaml"
    file.write_text(TREE)
    tree = load(str(file))
    with Session(lambda: psycopg.connect(uri), "test", Limits()) as session:
        reader = Reader(session, bind(tree, session.catalogue(tables(tree))), 1)
        with pytest.raises(SourceRefused), session.attempt("goods"):
            list(reader.read("goods", 0, 2))
        with session.attempt("goods"):
            assert sum(chunk.records for chunk in reader.read("goods", 1, 2)) == 20


def test_no_row_is_blamed_for_a_statement_that_the_database_cannot_hold(make: Make, tmp_path: Path) -> None:
    uri = make("LATIN1", TABLES)
    file = tmp_path / "tree.yaml"
    file.write_text(TREE.replace("keys: [text]", "keys: [text, {sign: {constant: 你}}]"))
    tree = load(str(file))
    with Session(lambda: psycopg.connect(uri), "test", Limits()) as session:
        reader = Reader(session, bind(tree, session.catalogue(tables(tree))), 1)
        with pytest.raises(SourceRefused, match="has no equivalent in encoding") as caught:
            list(reader.read("goods"))
    assert "it is in the row" not in str(caught.value)


def test_no_space_counts_as_known_that_the_server_does_not_know(server: Server) -> None:
    encodings = "SELECT pg_encoding_to_char(n) FROM generate_series(0, 34) AS n WHERE pg_encoding_to_char(n) <> ''"
    with psycopg.connect(server.uri(), autocommit=True) as conn:
        for (encoding,) in conn.execute(encodings).fetchall():
            if encoding not in ("SQL_ASCII", "MULE_INTERNAL"):  # there is no conversion
                spaces = known(SPACES, encoding)
                assert set(spaces) >= set(" \t\n\r\f\v")
                data = conn.execute("SELECT convert_to(%s, %s)", [spaces, encoding]).fetchone()
                assert data is not None
