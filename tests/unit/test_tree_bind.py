"""A tree is fitted to the database it meets: what a version explains is left out, what nothing explains is an error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from project_export.errors import SourceChanged
from project_export.tree import BoundTree, Catalogue, Lookup, Ref, bind, load, tables
from project_export.tree.gaps import numbers

TREE = """\
name: library
locations: {shelf: files}
schema: schema.tsv
column_since: {1.0..2.0: [books.subtitle, editions, notes, slips, loans, books.mood]}
column_until: {2.0..3.0: [publishers.name, pages.text], "4.0": [books.blurb]}
root:
  relation: library
  table: libraries
  beside:
    seal: {from: seals, match: {library_id: id}}
  keys: [name, {motto: {column: seal.motto, absent: none}}]
relations:
  - relation: books
    table: books
    join: {library_id: id}
    where: {deleted_at: null}
    either: [{kind: 1}, {root.seal: true, kind: 2}]
    order: [position, id]
    beside:
      slip: {from: slips, match: {book_id: id}, order: [id desc]}
    keys:
      - title
      - subtitle
      - {blurb: {transform: yaml, when: has_blurb}}
      - {publisher: {from: publishers, match: {id: publisher_id}, column: name}}
      - {isbn: {from: editions, match: {book_id: id}, else: isbn}}
      - {cover: {constant: null, why: comes from the scanner}}
      - {note: {of: slip}}
      - {mood: {cases: [{when: {mood: null, lent: true}, constant: sad}, {when: {slip.note: x}, column: note}]}}
      - {kind: {layouts: [{column: kind_name, without: [kinds]}, {from: kinds, match: {id: kind}, column: name}]}}
      - review:
          elsewhere: {location: shelf, offset: at, size: size, from: files, match: {id: file_id}, file: "{name}"}
    derived:
      owner: {from: loans, match: {book_id: id}, column: reader_id, else: owner_id}
    children:
      - {relation: reader, table: readers, one: true, join: {id: owner}, keys: [name]}
      - {relation: pages, table: pages, join: {book_id: id}, order: [number], keys: [number, text]}
      - relation: notes
        table: notes
        join: {book_id: id}
        keys: [text]
        successor: {table: new_notes, join: {book_id: id}, keys: [text]}
  - {relation: rules, table: rules, one: true, join: {library: name}, keys: [text]}
  - {relation: shelves, table: shelves, join: {library_id: id}, key: [code], order: [code], keys: [code]}
  - relation: staff
    table: staff
    join: {library_id: id}
    also: [{join: {town: name}, where: {kind: town}, unless: person, best: [rank desc, id]}]
    keys: [person]
optional:
  library:
    - {relation: clubs, table: clubs, join: {library_id: id}, keys: [name], with: [club_rules, clubs]}
  books.pages:
    - {relation: stamp, table: stamps, one: true, join: {id: stamp_id}, keys: [text]}
"""
COLUMNS: dict[str, str] = {
    "libraries": "id name",
    "seals": "library_id motto",
    "books": (
        "id library_id deleted_at position title subtitle blurb has_blurb publisher_id isbn owner_id note mood lent"
        " kind kind_name review at size file_id"
    ),
    "slips": "id book_id note",
    "publishers": "id name",
    "editions": "book_id isbn",
    "kinds": "id name",
    "files": "id name",
    "loans": "book_id reader_id",
    "readers": "id name",
    "pages": "id book_id number text stamp_id",
    "notes": "id book_id text",
    "new_notes": "id book_id text",
    "rules": "id library text",
    "shelves": "code library_id",
    "staff": "id library_id town kind person rank",
    "clubs": "id library_id name",
    "club_rules": "id",
    "stamps": "id text",
}
UNREAD = {"club_rules.id"}

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

    def bound(
        *without: str, version: str = "2.0.1", allowed: tuple[str, ...] = (), change: tuple[str, str] = ("", "")
    ) -> BoundTree:
        assert change[0] in TREE
        known = "".join(f"{t}\t{c}\n" for t, columns in COLUMNS.items() for c in columns.split())
        (tmp_path / "schema.tsv").write_text("table\tcolumn\n" + known)
        (tmp_path / "tree.yaml").write_text(TREE.replace(*change) if change[0] else TREE)
        return bind(load(str(tmp_path / "tree.yaml")), catalogue(without), version, allowed)

    return bound


def line(text: str) -> int:
    """Return the line of the tree where a text is."""
    return TREE[: TREE.index(text)].count("\n") + 1


def keys(bound: BoundTree, name: str) -> list[str]:
    return [key.name for key in bound.relation(name).keys]


def key(bound: BoundTree, name: str) -> Any:
    (found,) = (key for key in bound.relation("books").keys if key.name == name)
    return found


def left_out(bound: BoundTree) -> list[tuple[str, bool]]:
    return [(item.path, item.omission) for item in bound.left_out]


def test_nothing_is_left_out_of_a_database_that_has_everything(bound: Bind) -> None:
    whole = bound()
    assert (whole.left_out, whole.absent) == ((), ())
    assert whole.remarks("books") == ("books.cover: always null, comes from the scanner",)
    assert whole.remarks("rules") == ()
    assert tables(whole.tree) == set(COLUMNS) - {"club_rules"}
    assert whole.tree.names[-1] == "clubs"
    assert [child.name for child in whole.relation("books").children[1].children] == ["stamp"]


@pytest.mark.parametrize(
    ("absent", "text", "said"),
    [
        ("books.title", "- title", "books.title reads books.title"),
        ("books.has_blurb", "- {blurb", "books.blurb reads books.has_blurb"),
        ("publishers", "- {publisher", "books.publisher reads table publishers"),
        ("publishers.id", "- {publisher", "books.publisher reads publishers.id"),
        ("books.publisher_id", "- {publisher", "books.publisher reads books.publisher_id"),
        ("editions.isbn", "- {isbn", "books.isbn reads editions.isbn"),
        ("books.isbn", "- {isbn", "books.isbn reads books.isbn"),
        ("books.note", "- {note", "books.note reads books.note"),
        ("books.lent", "- {mood", "books.mood reads books.lent"),
        ("books.kind", "- relation: books", "books reads books.kind"),
        ("kinds.name", "- {kind", "books.kind reads kinds.name"),
        ("books.at", "- review:", "books.review reads books.at"),
        ("books.size", "- review:", "books.review reads books.size"),
        ("files", "- review:", "books.review reads table files"),
        ("loans.reader_id", "- relation: books", "books.owner reads loans.reader_id"),
        ("books.owner_id", "- relation: books", "books.owner reads books.owner_id"),
        ("seals", "seal: {from", "library reads table seals"),
        ("seals.library_id", "seal: {from", "library reads seals.library_id"),
        ("seals.motto", "keys: [name, {motto", "library.motto reads seals.motto"),
        ("libraries.name", "keys: [name, {motto", "library.name reads libraries.name"),
        ("slips.book_id", "slip: {from", "books reads slips.book_id"),
        ("slips.id", "slip: {from", "books reads slips.id"),
        ("slips.note", "- {note", "books.note reads slips.note"),
        ("pages", "- {relation: pages", "books.pages reads table pages"),
        ("readers.name", "- {relation: reader", "books.reader.name reads readers.name"),
        ("notes.text", "keys: [text]\n        succ", "books.notes.text reads notes.text"),
        ("new_notes.text", "successor:", "books.notes[new_notes].text reads new_notes.text"),
        ("rules", "- {relation: rules", "rules reads table rules"),
        ("shelves", "- {relation: shelves", "shelves reads table shelves"),
        ("stamps.text", "- {relation: stamp", "books.pages.stamp.text reads stamps.text"),
        ("pages.stamp_id", "- {relation: stamp", "books.pages.stamp reads pages.stamp_id"),
        ("clubs.name", "- {relation: clubs", "clubs.name reads clubs.name"),
        # What rows cannot do without:
        ("books.library_id", "- relation: books", "books needs books.library_id for join"),
        ("books.deleted_at", "- relation: books", "books needs books.deleted_at for where"),
        ("books.position", "- relation: books", "books needs books.position for order"),
        ("books.id", "- relation: books", "books needs books.id for order"),
        ("pages.number", "- {relation: pages", "books.pages needs pages.number for order"),
        ("pages.book_id", "- {relation: pages", "books.pages needs pages.book_id for join"),
        ("readers.id", "- {relation: reader", "books.reader needs readers.id for join"),
        ("libraries.id", "relation: library", "library needs libraries.id for finding its row"),
        ("libraries.name", "relation: library", "library needs libraries.name for the join of rules"),
        ("shelves.code", "- {relation: shelves", "shelves needs shelves.code for order"),
        ("shelves.code", "- {relation: shelves", "shelves needs shelves.code for reading in batches"),
        ("staff.town", "- relation: staff", "staff needs staff.town for its additional rows"),
        ("staff.person", "- relation: staff", "staff needs staff.person for its additional rows"),
        ("staff.rank", "- relation: staff", "staff needs staff.rank for its additional rows"),
    ],
)
def test_what_is_absent_and_not_explained_is_an_error_that_names_its_line(
    bound: Bind, absent: str, text: str, said: str
) -> None:
    with pytest.raises(SourceChanged) as caught:
        bound(absent)
    assert f"tree.yaml:{line(text)}: {said}, which the source does not have; " in str(caught.value)
    assert "version 2.0.1 does not explain it" in str(caught.value)


@pytest.mark.parametrize(
    "absent",
    sorted(
        {f"{table}.{column}" for table, columns in COLUMNS.items() for column in columns.split()}
        - UNREAD
        - {"books.kind_name", "pages.id", "rules.id"}
    ),
)
def test_the_absence_of_any_column_that_the_tree_reads_is_noticed(bound: Bind, absent: str) -> None:
    with pytest.raises(SourceChanged) as caught:
        bound(absent, version="2.5" if absent in {"publishers.name", "pages.text"} else "2.0", change=UNDATED)
    assert absent in str(caught.value)


UNDATED = ("column_until: {2.0..3.0: [publishers.name, pages.text], ", "column_until: {")


def test_everything_that_is_absent_is_listed_at_once(bound: Bind) -> None:
    with pytest.raises(SourceChanged) as caught:
        bound("books.title", "pages", "rules.text", "shelves.code")
    for name in ("books.title", "table pages", "rules.text", "shelves.code"):
        assert f" {name}" in str(caught.value)
    assert "PROJECT_EXPORT_APPLICATION_VERSION" in str(caught.value)


def test_a_renamed_column_is_an_error_that_names_the_nearest(bound: Bind, tmp_path: Path) -> None:
    bound()
    renamed = {**catalogue(()), "books": {**catalogue(("books.title",))["books"], "titel": "text"}}
    with pytest.raises(SourceChanged, match=r"books\.title reads books\.title, which .*; nearest: titel"):
        bind(load(str(tmp_path / "tree.yaml")), renamed, "2.0")


@pytest.mark.parametrize("version", ["", "99", "2.0"])
def test_without_a_version_a_source_is_the_newest(bound: Bind, version: str) -> None:
    with pytest.raises(SourceChanged, match="the newest version" if not version else f"version {version} does"):
        bound("books.subtitle", version=version)


@pytest.mark.parametrize(
    ("version", "omission"), [("1.0", False), ("1.0.9-ee", False), ("0.9", False), ("1.1", True), ("1.9.9", True)]
)
def test_what_was_added_later_is_left_out_and_is_an_omission_if_the_version_may_have_it(
    bound: Bind, version: str, omission: bool
) -> None:
    lacks = ("books.subtitle", "editions", "loans", "notes", "slips", "books.mood")
    tree = bound(*lacks, version=version, change=UNDATED)
    assert dict(left_out(tree))["books.subtitle"] is omission
    assert "subtitle" not in keys(tree, "books")
    assert [str(item) for item in tree.left_out if item.path == "books.subtitle"] == [
        "books.subtitle: left out, the source has no books.subtitle"
    ]
    said = (tree.omissions if omission else tree.remarks)("books")
    assert "books.subtitle: left out, the source has no books.subtitle" in said
    assert {omission for _, omission in left_out(tree)} == {omission}


@pytest.mark.parametrize(
    ("version", "verdict"), [("2.0", "missing"), ("2.0.5", "missing"), ("2.1", "uncertain"), ("3.0", "explained")]
)
def test_what_was_removed_is_explained_from_the_version_that_lacks_it(bound: Bind, version: str, verdict: str) -> None:
    if verdict == "missing":
        with pytest.raises(SourceChanged, match=r"publishers\.name"):
            bound("publishers.name", "pages.text", version=version)
        return
    tree = bound("publishers.name", "pages.text", version=version)
    assert left_out(tree) == [(path, verdict == "uncertain") for path in ("books.publisher", "books.pages.text")]
    assert "publisher" not in keys(tree, "books")


def test_what_was_last_seen_in_a_version_may_be_gone_in_any_later_one(bound: Bind) -> None:
    with pytest.raises(SourceChanged, match=r"books\.blurb"):
        bound("books.blurb", "publishers.name", "pages.text", version="4.0.3")
    tree = bound("books.blurb", "publishers.name", "pages.text", version="4.1")
    assert ("books.blurb", False) in left_out(tree)


@pytest.mark.parametrize(
    ("version", "lacks", "said"),
    [
        ("1.0.2", (), "the source has books.subtitle, which was added after 1.0, by 2.0"),
        ("3.0", (), "the source has publishers.name, which was removed by 3.0"),
        (
            "3.0",
            ("publishers.name",),
            "the source has pages.text, which was removed by 3.0, but is said to be of version 3.0",
        ),
    ],
)
def test_what_contradicts_the_version_is_an_error(bound: Bind, version: str, lacks: tuple[str, ...], said: str) -> None:
    with pytest.raises(SourceChanged) as caught:
        bound(*lacks, version=version)
    assert said in str(caught.value)


@pytest.mark.parametrize("version", ["1.5", "2.0", "2.5"])
def test_what_a_version_may_have_does_not_contradict_it(bound: Bind, version: str) -> None:
    assert bound(version=version).left_out == ()


@pytest.mark.parametrize(("version", "omission"), [("2.1", False), ("2.2.7", False), ("2.3", True)])
def test_a_version_that_did_not_export_a_key_may_lack_what_the_key_reads(
    bound: Bind, version: str, omission: bool
) -> None:
    dates = "    since: {2.2..2.4: [title, pages]}\n    children:\n"
    tree = bound(
        "books.title",
        "pages",
        version=version,
        change=("    children:\n      - {relation: reader", dates + "      - {relation: reader"),
    )
    assert [str(item) for item in tree.left_out] == [
        "books.title: left out, the source has no books.title; title was added after 2.2, by 2.4",
        "books.pages: left out, the source has no table pages; pages was added after 2.2, by 2.4",
    ]
    assert {item.omission for item in tree.left_out} == {omission}


@pytest.mark.parametrize(
    ("absent", "allowed", "path"),
    [
        ("books.title", "books.title", "books.title"),
        ("books.title", "books", "books.title"),
        ("pages", "pages", "books.pages"),
        ("publishers.id", "publishers.id", "books.publisher"),
        ("rules", "rules", "rules"),
        ("shelves", "shelves", "shelves"),
    ],
)
def test_what_an_operator_allows_is_left_out_and_is_an_omission(
    bound: Bind, absent: str, allowed: str, path: str
) -> None:
    tree = bound(absent, allowed=(allowed,))
    assert left_out(tree) == [(path, True)]
    assert str(tree.left_out[0]).endswith("; this was allowed")
    assert tree.omissions(path.partition(".")[0]) == (str(tree.left_out[0]),)
    assert tree.omissions("library") == ()
    assert str(tree.left_out[0]) not in tree.remarks(path.partition(".")[0])


@pytest.mark.parametrize("absent", ["books.library_id", "books.position", "libraries.id", "staff.person"])
def test_what_rows_need_cannot_be_allowed_to_be_absent(bound: Bind, absent: str) -> None:
    with pytest.raises(SourceChanged, match=f"needs {absent}"):
        bound(absent, allowed=(absent,))


def test_an_absent_top_level_table_makes_an_empty_relation(bound: Bind) -> None:
    tree = bound("rules", "shelves", allowed=("rules", "shelves"))
    assert (tree.relation("rules").one, tree.relation("rules").constant) == (True, "null")
    assert (tree.relation("shelves").one, tree.relation("shelves").constant) == (False, None)
    assert tree.relation("shelves").table == ""


# Optional relations.


@pytest.mark.parametrize(
    ("without", "absent"), [(("clubs", "club_rules"), "clubs"), (("stamps",), "books.pages.stamp")]
)
def test_an_optional_relation_without_its_tables_is_not_reported(
    bound: Bind, without: tuple[str, ...], absent: str
) -> None:
    tree = bound(*without)
    assert (tree.absent, tree.left_out) == ((absent,), ())
    assert absent not in dict(tree.tree.walk())
    with pytest.raises(SourceChanged, match=f"relation {absent} is optional, and the source does not have it"):
        tree.relation(absent)


@pytest.mark.parametrize(("absent", "other"), [("clubs", "club_rules"), ("club_rules", "clubs")])
def test_an_optional_relation_with_only_some_of_its_tables_is_an_error(bound: Bind, absent: str, other: str) -> None:
    with pytest.raises(SourceChanged, match=f"clubs needs {absent} as well as {other}"):
        bound(absent)


# What gives way to what.


def test_a_value_comes_from_the_sources_that_exist(bound: Bind) -> None:
    tree = bound("editions", version="1.5")
    assert key(tree, "isbn").form.sources == (Ref("isbn"),)
    assert left_out(tree) == [("books.isbn", True)]
    tree = bound("books.isbn", allowed=("books.isbn",))
    (source,) = key(tree, "isbn").form.sources
    assert isinstance(source, Lookup)
    assert source.row.table == "editions"
    assert left_out(tree) == [("books.isbn", True)]


def test_what_a_version_explains_is_not_reported_if_another_source_exists(bound: Bind) -> None:
    lacks = ("books.subtitle", "editions", "loans", "notes", "slips", "books.mood")
    tree = bound(*lacks, version="1.0")
    assert key(tree, "isbn").form.sources == (Ref("isbn"),)
    ((name, owner),) = tree.relation("books").derived
    assert (name, owner.sources) == ("owner", (Ref("owner_id"),))
    assert (key(tree, "note").form.of, key(tree, "note").form.sources) == (None, (Ref("note"),))
    assert left_out(tree) == [("books.subtitle", False), ("books.mood", False)]


def test_a_key_without_any_source_is_left_out(bound: Bind) -> None:
    tree = bound("editions", "books.isbn", version="1.5", allowed=("books.isbn",))
    assert "isbn" not in keys(tree, "books")
    assert left_out(tree) == [("books.isbn", True)]


def test_cases_on_an_absent_row_beside_are_left_out(bound: Bind) -> None:
    tree = bound("slips", version="1.5")
    assert tree.relation("books").beside == ()
    ((when, _),) = key(tree, "mood").cases
    assert [condition.column for condition in when] == ["mood", "lent"]
    assert ("books.mood", True) in left_out(tree)


def test_a_case_whose_condition_cannot_be_read_is_left_out_and_reported(bound: Bind) -> None:
    tree = bound("books.lent", allowed=("books.lent",))
    ((when, _),) = key(tree, "mood").cases
    assert [str(condition.ref) for condition in when] == ["slip.note"]
    assert left_out(tree) == [("books.mood", True)]


def test_an_alternative_whose_condition_cannot_be_read_is_left_out_and_reported(bound: Bind) -> None:
    tree = bound("seals", allowed=("seals",))
    assert [[str(c.ref) for c in one] for one in tree.relation("books").either] == [["kind"]]
    assert dict(left_out(tree)) == {"library": True, "library.motto": True, "books": True}


@pytest.mark.parametrize(
    ("without", "column"), [((), "name"), (("kinds",), "kind_name"), (("kinds", "books.kind_name"), "kind")]
)
def test_a_key_takes_the_first_layout_that_exists(bound: Bind, without: tuple[str, ...], column: str) -> None:
    tree = bound(*without, allowed=without)
    assert key(tree, "kind").layouts == ()
    (source,) = key(tree, "kind").form.sources
    assert (source.value if isinstance(source, Lookup) else source) == Ref(column)


def test_a_value_outside_the_database_is_only_counted_if_nothing_names_its_file(bound: Bind) -> None:
    tree = bound("files", allowed=("files",))
    assert (key(tree, "review").elsewhere.offset, key(tree, "review").elsewhere.file) == ("at", ())
    assert left_out(tree) == [("books.review", True)]
    tree = bound("books.at", allowed=("books.at",))
    assert key(tree, "review").elsewhere is None


def test_a_successor_replaces_an_absent_table_and_may_itself_be_absent(bound: Bind) -> None:
    assert dict(bound("notes").tree.walk())["books.notes"].table == "new_notes"
    tree = bound("new_notes")
    assert dict(tree.tree.walk())["books.notes"].successor is None
    assert tree.left_out == ()
    with pytest.raises(SourceChanged, match=r"books\.notes reads table notes"):
        bound("notes", "new_notes")


def test_a_database_without_the_roots_table_is_the_wrong_one(bound: Bind) -> None:
    with pytest.raises(SourceChanged, match=r"no table libraries, the root of the tree.*the right database"):
        bound("libraries", allowed=("libraries",))


def test_an_optional_row_beside_may_be_absent(bound: Bind) -> None:
    optional = (
        "seal: {from: seals, match: {library_id: id}}",
        "seal: {from: seals, match: {library_id: id}, optional: true}",
    )
    tree = bound("seals", change=optional)
    assert tree.left_out == ()
    assert keys(tree, "library") == ["name"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("- subtitle", "- subtitel"), "books.subtitel reads books.subtitel"),
        (("table: pages", "table: pagse"), "books.pages reads table pagse"),
        (("from: publishers", "from: publishrs"), "books.publisher reads table publishrs"),
        (("else: isbn}", "else: ibsn}"), "books.isbn reads books.ibsn"),
        (("deleted_at: null", "delete_at: null"), "books needs books.delete_at for where"),
    ],
)
def test_a_misspelt_name_of_a_tree_without_a_reference_schema_is_named_as_one(
    bound: Bind, tmp_path: Path, change: tuple[str, str], said: str
) -> None:
    bound()
    text = TREE.replace(*change).replace("schema: schema.tsv\n", "")
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(SourceChanged) as caught:
        bind(load(str(tmp_path / "own.yaml")), catalogue(()))
    assert f"{said}, which the source does not have, nor does the tree's reference schema; nearest: " in str(
        caught.value
    )


def test_numbers_of_versions_are_compared_as_numbers() -> None:
    assert numbers("18.10.0-ee") > numbers("18.9")
    assert numbers("rubbish") == numbers(None) == ()


def test_what_the_shipped_tree_reads_is_in_its_reference_schema() -> None:
    tree = load("gitlab")
    whole: dict[str, dict[str, Any]] = {table: dict.fromkeys(columns, "text") for table, columns in tree.known.items()}
    assert bind(tree, whole).left_out == ()
