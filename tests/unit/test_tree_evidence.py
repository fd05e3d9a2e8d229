"""The shipped tree against what real exports hold, and what its evidence says where they hold nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from project_export.errors import TreeError
from project_export.tree import load, load_all
from project_export.tree.evidence import ANY, Evidence, Row, names, read
from tests.reader import data
from tests.update.evidence import number, real, seen

TREE = load_all("gitlab")
EVIDENCE = Evidence(TREE)
MODERN = (16,)


@pytest.fixture(scope="module")
def known(facts: Path) -> dict[str, Any]:
    """What real exports hold: per relation, by its path in the tree."""
    return real((facts / "tools" / "keys_by_relation.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def methods(facts: Path) -> set[tuple[str, str]]:
    """The keys that a model makes by a method, and no column of their name: path and key."""
    text = yaml.safe_load((facts / "gitlab" / "tree.yaml").read_text(encoding="utf-8"))
    found: set[tuple[str, str]] = set()

    def visit(node: Mapping[str, Any], above: str = "") -> None:
        path = f"{above}{node['relation']}"
        found.update((path, method["name"]) for method in node.get("methods", []))
        for child in node.get("children", []):
            visit(child, f"{path}.")

    for node in (text["root"], *text["relations"]):
        visit(node)
    return found


def said(path: str, name: str, *how: str) -> list[str]:
    """Return the notes of the lines that name a key of a relation, or of another one of its table."""
    table = EVIDENCE.places[path].table
    same = {other for other, place in EVIDENCE.places.items() if place.table == table}
    return [row.note for row in EVIDENCE.rows if row.how in how and row.path in same and name in row.keys]


def modern(known: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is known of those relations of the tree that modern exports have records of."""
    return {path: known[path] for path in EVIDENCE.places if known.get(path, {}).get("records_16plus")}


def test_what_is_seen_is_what_real_exports_have(known):
    written = {(row.path, row.where, key) for row in EVIDENCE.rows if row.how == "seen" for key in row.keys}
    found = {(row.path, row.where, key) for row in seen(TREE, known) for key in row.keys}
    assert written == found, "run: python -m tests.update"


def test_what_is_said_to_be_read_assumed_or_gone_is_what_the_second_reader_s_data_say():
    written = [Row(row.how, row.path, row.where, row.keys, row.note) for row in EVIDENCE.rows if row.how != "seen"]
    assert written == [Row(*one) for one in data.evidence()], "run: python -m tests.update"


def test_a_key_that_modern_exports_never_have_has_a_reason(known):
    never = {
        (path, name)
        for path, relation in modern(known).items()
        for name in names(EVIDENCE.places[path])
        if all(number(version) < MODERN for version in relation["keys"].get(name, {"versions": []})["versions"])
    }
    assert {one for one in never if not any(said(*one, "read", "assumed"))} == set()


def test_a_key_that_modern_exports_always_have_is_in_the_tree_or_has_a_reason(known):
    lacking = {
        (path, name)
        for path, relation in modern(known).items()
        for name in relation["must_16plus"]
        if name not in names(EVIDENCE.places[path])
    }
    assert lacking
    assert {one for one in lacking if not any(said(*one, "gone"))} == set()


def test_each_key_of_the_tree_is_known():
    assert {(path, name) for path, name, known in EVIDENCE.each() if not known.how} == set()


def test_evidence_names_only_keys_of_the_tree_and_as_gone_only_others():
    rows = [row for row in EVIDENCE.rows if row.path != ANY]
    assert {row.path for row in rows} - EVIDENCE.places.keys() == set()
    pairs = {(row.path, key, row.how == "gone") for row in rows for key in row.keys if key != ANY}
    assert {(path, key) for path, key, gone in pairs if gone == (key in names(EVIDENCE.places[path]))} == set()


def test_a_key_that_a_method_makes_names_the_file_that_makes_it(methods):
    columns = {path: set(TREE.known.get(relation.table, {})) for path, relation in EVIDENCE.places.items()}
    made = methods | {
        (path, key.name)
        for path, relation in EVIDENCE.places.items()
        for key in relation.keys
        if key.name not in columns[path]
    }
    assert made
    assert {one for one in made if not any(".rb" in file for file in EVIDENCE.of(*one).read)} == set()


LIBRARY = """
name: library
evidence: known.tsv
root: {relation: library, table: libraries, keys: [name]}
relations:
  - {relation: books, table: books, join: {library_id: id}, keys: [title, isbn]}
  - {relation: gifts, table: books, join: {giver_id: id}, keys: [title, isbn, giver]}
"""
HEAD = "how\tpath\twhere\tkeys\tnote\n"


def library(folder: Path, lines: str) -> Evidence:
    (folder / "known.tsv").write_text(HEAD + lines, encoding="utf-8")
    (folder / "library.yaml").write_text(LIBRARY, encoding="utf-8")

    return Evidence(load(str(folder / "library.yaml")))


def test_what_is_seen_in_one_place_is_known_of_the_other_places_of_its_table_as_seen_elsewhere(tmp_path):
    evidence = library(
        tmp_path, "seen\tbooks\t1.9 2.10\ttitle\t\nread\tgifts\tlib/gift.rb@0123abcd\tisbn giver\tsince 2\n"
    )
    assert (evidence.of("books", "title").how, evidence.of("books", "title").seen) == ("seen", ("1.9", "2.10"))
    assert evidence.of("gifts", "title").how == "alike"
    assert evidence.of("gifts", "title").alike == (("books", ("1.9", "2.10")),)
    assert evidence.of("books", "isbn").read == ("lib/gift.rb@0123abcd",)
    assert evidence.of("books", "isbn").notes == ("since 2",)
    assert evidence.counts() == {"seen": 1, "alike": 1, "read": 3, "": 1}


def test_versions_that_follow_each_other_appear_as_a_span(tmp_path):
    evidence = library(tmp_path, "seen\tbooks\t1.9 1.10 2.0\ttitle\t\nseen\tgifts\t3.1\ttitle\t\n")
    assert evidence.span(["1.9", "1.10", "2.0", "3.1"]) == "1.9 to 3.1"
    assert evidence.span(["2.0", "1.9", "1.10"]) == "1.9 to 2.0"
    assert evidence.span(["1.9", "2.0", "3.1"]) == "1.9, 2.0, 3.1"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("heard\tbooks\t1.9\ttitle\t", "known.tsv:2: how is 'heard', not one of seen, read, assumed, gone"),
        ("seen\tbooks\tlast year\ttitle\t", "known.tsv:2: where is 'last year', not versions like 17.10"),
        ("read\tbooks\t\ttitle\t", "known.tsv:2: where is '', not files like"),
        ("read\tbooks\tlib/book.rb\t\t", "known.tsv:2: path or keys are missing"),
        ("read\tbooks\tlib/book.rb\ttitle", "known.tsv:2: 4 columns, not the 5 of how, path, where, keys, note"),
    ],
)
def test_a_mistake_names_its_line(tmp_path, line, message):
    with pytest.raises(TreeError) as error:
        library(tmp_path, line + "\n")
    assert message in str(error.value)


def test_a_file_that_is_absent_or_of_another_form_is_an_error(tmp_path):
    with pytest.raises(TreeError, match="evidence that cannot be read"):
        read(tmp_path / "none.tsv")
    (tmp_path / "other.tsv").write_text("key\tvalue\n", encoding="utf-8")
    with pytest.raises(TreeError, match="the first line must name the columns how, path, where, keys, note"):
        read(tmp_path / "other.tsv")
