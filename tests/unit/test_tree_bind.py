"""A tree is fitted to the database it meets: what may be absent is left out and said, what may not is an error."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from project_export.errors import SourceChanged, TreeError
from project_export.tree import BoundTree, Catalogue, bind, load, tables

TREE = """\
name: library
schema: schema.tsv
root:
  relation: library
  table: libraries
  keys: [name]
relations:
  - relation: books
    table: books
    join: {library_id: id}
    where: {deleted_at: null}
    order: [position, id]
    keys:
      - title
      - subtitle
      - {blurb: {transform: yaml, when: has_blurb}}
      - {publisher: {from: publishers, match: {id: publisher_id}, column: name}}
      - {isbn: {from: editions, match: {book_id: id}, else: isbn}}
      - {cover: {constant: null, why: comes from the scanner}}
    derived:
      owner: {from: loans, match: {book_id: id}, column: reader_id, else: owner_id}
    children:
      - {relation: reader, table: readers, one: true, join: {id: owner}, keys: [name]}
      - {relation: pages, table: pages, join: {book_id: id}, order: [number], keys: [number, text]}
  - {relation: rules, table: rules, one: true, join: {library: name}, keys: [text]}
  - {relation: shelves, table: shelves, join: {library_id: id}, key: [code], order: [code], keys: [code]}
"""
COLUMNS: dict[str, str] = {
    "libraries": "id name",
    "books": "id library_id deleted_at position title subtitle blurb has_blurb publisher_id isbn owner_id",
    "publishers": "id name",
    "editions": "book_id isbn",
    "loans": "book_id reader_id",
    "readers": "id name",
    "pages": "id book_id number text",
    "rules": "id library text",
    "shelves": "code library_id",
}

Bind = Callable[..., BoundTree]


def catalogue(without: tuple[str, ...]) -> Catalogue:
    """Return the whole catalogue without some tables ("pages") and columns ("books.title")."""
    return {
        table: {column: "text" for column in columns.split() if f"{table}.{column}" not in without}
        for table, columns in COLUMNS.items()
        if table not in without
    }


@pytest.fixture
def bound(tmp_path: Path) -> Bind:
    """Bind the tree, with texts replaced, to a database that lacks some tables and columns."""

    def bound(*without: str, change: tuple[str, str] = ("", ""), schema: bool = True) -> BoundTree:
        known = "".join(f"{t}\t{c}\n" for t, columns in COLUMNS.items() for c in columns.split())
        (tmp_path / "schema.tsv").write_text("table\tcolumn\n" + known)
        (tmp_path / "tree.yaml").write_text(
            TREE.replace(*change) if schema else TREE.replace(*change).replace("schema: schema.tsv\n", "")
        )
        load.cache_clear()
        return bind(load(str(tmp_path / "tree.yaml")), catalogue(without))

    return bound


def keys(bound: BoundTree, name: str) -> list[str]:
    return [key.name for key in bound.relation(name).keys]


def left_out(bound: BoundTree) -> list[str]:
    return [str(item) for item in bound.left_out]


def test_a_database_that_has_everything_leaves_nothing_out(bound: Bind) -> None:
    whole = bound()
    assert whole.left_out == ()
    assert whole.remarks("books") == ("books.cover: always null, comes from the scanner",)
    assert whole.remarks("rules") == ()
    assert tables(whole.tree) == set(COLUMNS)


@pytest.mark.parametrize(
    ("column", "key"), [("books.subtitle", "subtitle"), ("books.blurb", "blurb"), ("books.has_blurb", "blurb")]
)
def test_an_absent_column_is_left_out_and_said(bound: Bind, column: str, key: str) -> None:
    tree = bound(column)
    assert left_out(tree) == [f"books.{key}: left out, the source has no {column}"]
    assert key not in keys(tree, "books")
    assert tree.remarks("books")[0] == left_out(tree)[0]
    assert tree.remarks("rules") == ()


def test_what_is_left_out_is_said_with_the_version_in_which_it_came(bound: Bind) -> None:
    dates = "    since: {2.0..2.4: [subtitle, pages], 2.4..: [isbn]}\n    children:\n"
    tree = bound("books.subtitle", "pages", "rules", change=("    children:\n", dates))
    assert left_out(tree) == [
        "books.subtitle: left out, the source has no books.subtitle; subtitle came after 2.0, in 2.4 at the latest",
        "books.pages: left out, the source has no table pages; pages came after 2.0, in 2.4 at the latest",
        "rules: left out, the source has no table rules",
    ]
    tree = bound(
        "rules",
        "books.title",
        change=("  keys: [name]\nrelations", "  keys: [name]\n  since: {2.4: [rules]}\nrelations"),
    )
    assert left_out(tree)[-1] == "rules: left out, the source has no table rules; rules came in 2.4"


OPTIONAL = """
optional:
  library:
    - {relation: clubs, table: readers, join: {id: id}, keys: [name], with: [loans]}
  books.pages:
    - {relation: rules, table: rules, one: true, join: {library: text}, keys: [text]}
"""


def test_an_optional_relation_is_there_where_its_tables_are(bound: Bind) -> None:
    tree = bound(change=(TREE, TREE + OPTIONAL))
    assert (tree.absent, tree.left_out) == ((), ())
    assert tree.tree.names[-1] == "clubs"
    assert [relation.name for relation in tree.relation("books").children[1].children] == ["rules"]


@pytest.mark.parametrize(
    ("without", "absent"), [("readers", "clubs"), ("loans", "clubs"), ("rules", "books.pages.rules")]
)
def test_an_optional_relation_is_absent_without_a_word_where_a_table_is(bound: Bind, without: str, absent: str) -> None:
    tree = bound(without, change=(TREE, TREE + OPTIONAL))
    assert tree.absent == (absent,)
    assert absent not in dict(tree.tree.walk())
    with pytest.raises(SourceChanged, match=f"relation {absent} is optional, and the source does not have it"):
        tree.relation(absent)
    assert not [item for item in left_out(tree) if item.startswith(f"{absent}:")]


def test_an_optional_relation_whose_join_has_no_column_is_left_out_and_said(bound: Bind) -> None:
    tree = bound("pages.text", change=(TREE, TREE + OPTIONAL))
    assert left_out(tree) == [
        "books.pages.rules: left out, the source has no pages.text",
        "books.pages.text: left out, the source has no pages.text",
    ]
    assert tree.absent == ()


def test_an_absent_nested_table_is_left_out_and_said(bound: Bind) -> None:
    tree = bound("pages")
    assert left_out(tree) == ["books.pages: left out, the source has no table pages"]
    assert [child.name for child in tree.relation("books").children] == ["reader"]


def test_an_absent_top_level_table_leaves_no_records(bound: Bind) -> None:
    tree = bound("rules", "shelves")
    assert left_out(tree) == [
        "rules: left out, the source has no table rules",
        "shelves: left out, the source has no table shelves",
    ]
    assert (tree.relation("rules").one, tree.relation("rules").constant) == (True, "null")
    assert (tree.relation("shelves").one, tree.relation("shelves").constant) == (False, None)
    assert tree.relation("shelves").table == ""


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ("books.library_id", "8: books needs books.library_id for join"),
        ("books.deleted_at", "8: books needs books.deleted_at for where"),
        ("books.position", "8: books needs books.position for order"),
        ("books.id", "8: books needs books.id for order"),
        ("pages.number", "24: books.pages needs pages.number for order"),
        ("pages.book_id", "24: books.pages needs pages.book_id for join"),
        ("readers.id", "23: books.reader needs readers.id for join"),
        ("libraries.id", "4: library needs libraries.id for finding its row"),
        ("libraries.name", "4: library needs libraries.name for the join of rules"),
        ("shelves.code", "26: shelves needs shelves.code for order"),
    ],
)
def test_an_absent_column_that_is_needed_is_an_error_that_names_it(bound: Bind, column: str, said: str) -> None:
    with pytest.raises(SourceChanged) as caught:
        bound(column)
    assert f"tree.yaml:{said}, which the source lacks; " in str(caught.value)


NAMES = ("publisher", "reader")
"""A key and a nested relation that one column leads to."""


def test_a_nested_relation_to_which_no_column_leads_is_left_out_and_said(bound: Bind) -> None:
    tree = bound("books.publisher_id", change=("join: {id: owner}", "join: {id: publisher_id}"))
    assert left_out(tree) == [f"books.{name}: left out, the source has no books.publisher_id" for name in NAMES]
    assert [child.name for child in tree.relation("books").children] == ["pages"]


def test_an_absent_key_column_is_an_error_that_names_it(bound: Bind) -> None:
    with pytest.raises(SourceChanged, match=r"shelves needs shelves\.code for reading in batches"):
        bound("shelves.code", change=("order: [code], keys: [code]", "order: [library_id], keys: [library_id]"))


def test_without_the_roots_table_it_is_another_database(bound: Bind) -> None:
    with pytest.raises(SourceChanged, match=r"no table libraries, the root of the tree.*the right database"):
        bound("libraries")


@pytest.mark.parametrize("absent", ["publishers", "publishers.name", "publishers.id", "books.publisher_id"])
def test_a_lookup_that_cannot_be_made_is_left_out_and_what_it_lacks_is_said(bound: Bind, absent: str) -> None:
    tree = bound(absent)
    lacks = "publishers.name" if absent == "publishers" else absent
    assert left_out(tree) == [f"books.publisher: left out, the source has no {lacks}"]
    assert "publisher" not in keys(tree, "books")


@pytest.mark.parametrize("absent", ["editions", "editions.isbn", "editions.book_id"])
def test_a_lookup_that_cannot_be_made_gives_way_to_its_fallback(bound: Bind, absent: str) -> None:
    tree = bound(absent)
    (isbn,) = (key for key in tree.relation("books").keys if key.name == "isbn")
    assert (isbn.lookup, isbn.column) == (None, "isbn")
    assert tree.left_out == ()


def test_a_lookup_does_without_an_absent_fallback(bound: Bind) -> None:
    tree = bound("books.isbn")
    (isbn,) = (key for key in tree.relation("books").keys if key.name == "isbn")
    assert isbn.lookup is not None
    assert (isbn.lookup.table, isbn.lookup.fallback) == ("editions", None)


def test_a_lookup_without_table_and_fallback_is_left_out(bound: Bind) -> None:
    assert left_out(bound("editions", "books.isbn")) == ["books.isbn: left out, the source has no editions.isbn"]


def test_a_derived_value_gives_way_to_its_fallback(bound: Bind) -> None:
    tree = bound("loans")
    assert tree.left_out == ()
    ((name, lookup),) = tree.relation("books").derived
    assert (name, lookup.table, lookup.column) == ("owner", "", "owner_id")


def test_a_derived_value_that_is_absent_is_an_error_that_names_it(bound: Bind) -> None:
    with pytest.raises(SourceChanged, match=r"tree\.yaml:8: books needs loans\.reader_id for owner, on which others"):
        bound("loans", "books.owner_id")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("- subtitle", "- subtitel"), r":14: the source has no column books\.subtitel, nor .*; nearest: subtitle"),
        (("table: pages", "table: pagse"), r":23: the source has no table pagse, nor does .*; nearest: pages"),
        (("from: publishers", "from: publishrs"), ":16: the source has no table publishrs, nor"),
        (("column: name}", "column: nmae}"), r":16: the source has no column publishers\.nmae, nor .*nearest: name"),
        (("{id: publisher_id}", "{ib: publisher_id}"), r":16: the source has no column publishers\.ib"),
        (("{id: publisher_id}", "{id: publisher}"), r":16: the source has no column books\.publisher, nor"),
        (("else: isbn}", "else: ibsn}"), r":17: the source has no column books\.ibsn, nor .*nearest: isbn"),
        (("column: reader_id,", "column: readr_id,"), r":7: the source has no column loans\.readr_id, nor"),
        (("deleted_at: null", "delete_at: null"), r":7: the source has no column books\.delete_at, nor"),
        (("one: true, join: {library: name}", "one: true, join: {library: ib}"), r"no column libraries\.ib, nor"),
        (("join: {book_id: id}, order", "join: {book_id: ib}, order"), r"no column books\.ib, nor"),
    ],
)
def test_a_misspelt_name_is_not_taken_for_an_older_version(bound: Bind, change: tuple[str, str], said: str) -> None:
    with pytest.raises(TreeError, match=said):
        bound(change=change, schema=False)


def test_what_the_shipped_tree_needs_is_in_its_reference_schema(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    tree = load("gitlab")
    whole: dict[str, dict[str, Any]] = {table: dict.fromkeys(columns, "text") for table, columns in tree.known.items()}
    assert bind(tree, whole).left_out == ()
