"""What a tree says about changes: by what they show, and which keys identify a record."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from project_export.errors import TreeError
from project_export.tree import Tree, bind, load, load_all
from project_export.tree.load import SHIPPED

VALID = """\
name: library
schema: schema.tsv
shapes:
  person: {table: authors, keys: [name], changed: updated_at}
root: {relation: library, table: libraries, keys: [name]}
relations:
  - relation: books
    table: books
    join: {library_id: id}
    keys: [isbn, title, {colour: {last: true}}]
    changed: updated_at
    merge: [isbn]
    children:
      - {relation: author, like: person, one: true, join: {id: author_id}}
      - {relation: pages, table: pages, join: {book_id: id}, order: [number], keys: [number], changed: with_parent}
      - {relation: marks, table: pages, join: {book_id: id}, order: [number], keys: [number]}
  - {relation: editor, like: person, one: true, join: {id: id}}
  - {relation: rules, table: pages, join: {book_id: id}, order: [number], keys: [number]}
"""
SCHEMA = """table\tcolumn\ttype
libraries\tid\tint8
libraries\tname\ttext
authors\tid\tint8
authors\tname\ttext
authors\tupdated_at\ttimestamp
books\tid\tint8
books\tlibrary_id\tint8
books\tauthor_id\tint8
books\tisbn\ttext
books\ttitle\ttext
books\tcolour\ttext
books\tupdated_at\ttimestamptz
pages\tid\tint8
pages\tbook_id\tint8
pages\tnumber\tint4
"""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        (tmp_path / "schema.tsv").write_text(SCHEMA)
        (tmp_path / "tree.yaml").write_text(text)
        return tmp_path / "tree.yaml"

    return write


def test_a_relation_says_by_what_a_change_shows(write: Write) -> None:
    tree = load(str(write(VALID)))
    books, editor, rules = tree.relations
    assert (books.changed_at, books.merge) == ("updated_at", ("isbn",))
    assert [(child.name, child.changed, child.changed_at) for child in books.children] == [
        ("author", "updated_at", "updated_at"),
        ("pages", "with_parent", None),
        ("marks", "unseen", None),
    ]
    assert (editor.changed_at, rules.changed_at, rules.merge) == (None, None, ())  # they are exported as a whole


OWN = "    changed: updated_at\n    merge: [isbn]\n"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (OWN, OWN.replace("updated", "update"), "11: table books has no column update_at; nearest: updated_at"),
        (OWN, OWN.replace("updated_at", "isbn"), "11: column isbn of books is not a time; it is text"),
        (OWN, OWN.replace("updated_at", "unseen"), "11: relation books is at the top level: name a column, or omit"),
        (OWN, "    merge: [isbn]\n", "11: relation books has a merge key, but not `changed`"),
        (OWN, "    changed: updated_at\n", "11: relation books needs a merge key: the keys that identify a record"),
        (OWN, OWN.replace("isbn", ""), "12: the merge key of books has no key"),
        (OWN, OWN.replace("isbn", "isnb"), "12: key isnb is unknown; nearest: isbn"),
        (OWN, OWN.replace("isbn", "colour"), "12: key colour is unknown; valid: isbn, title"),
        ("changed: with_parent}", "merge: [number]}", "15: relation pages has a merge key, which only a top-level"),
        ("editor, like", "editor, changed: updated_at, like", "17: relation editor is always exported as a whole, so"),
    ],
)
def test_a_mistake_is_named_with_its_line(write: Write, old: str, new: str, said: str) -> None:
    assert VALID.count(old) == 1
    with pytest.raises(TreeError, match=r"tree\.yaml:") as caught:
        load(str(write(VALID.replace(old, new))))
    assert said in str(caught.value)


def test_a_database_without_the_time_exports_everything(write: Write) -> None:
    tree = load(str(write(VALID)))
    catalogue = {table: dict(columns) for table, columns in tree.known.items()}
    catalogue["books"]["updated_at"] = "date"
    del catalogue["authors"]["updated_at"]
    bound = bind(tree, catalogue)
    assert not bound.left_out
    books = bound.relation("books")
    assert books.changed_at is None
    assert [child.changed for child in books.children] == ["unseen", "with_parent", "unseen"]
    assert bound.untimed == ("books.author", "books")
    assert bound.remarks("books") == tuple(
        f"{path}: its changes do not show, because the source lacks the time" for path in bound.untimed
    )


# The shipped tree, against its own file and GitLab's schema, neither read by the tree's loader.


def test_every_relation_of_gitlab_whose_table_has_a_time_of_change_declares_it() -> None:
    times = columns_of("updated_at", "created_at")
    declared = list(declarations())
    assert len(declared) > 90
    for path, table, changed in declared:
        wanted = next((name for name in ("updated_at", "created_at") if name in times.get(table, ())), None)
        assert changed == wanted if wanted else changed in ("with_parent", "unseen"), path
    loaded = [one for one in nested_and_many(load_all("gitlab").extended()) if one.changed_at]
    assert len(loaded) == sum(changed in ("updated_at", "created_at") for _, _, changed in declared)


def test_the_merge_keys_of_gitlab_are_of_relations_of_many() -> None:
    tree = load_all("gitlab").extended()
    with_key = {relation.name for relation in tree.tops if relation.merge}
    assert with_key == {one.name for one in tree.relations if not one.one and one.table}


def nested_and_many(tree: Tree) -> Iterator[Any]:
    for top in tree.tops:
        for path, relation in top.walk():
            if "." in path or not (relation.one or relation.kind == "bundle" or relation is tree.root):
                yield relation
                if relation.successor:
                    yield relation.successor


def columns_of(*names: str) -> Mapping[str, set[str]]:
    """Return which of these columns each table has."""
    found = defaultdict(set)
    for file in ("gitlab-columns.tsv", "gitlab-paid.tsv", "gitlab-layouts.tsv"):
        with (SHIPPED / file).open(encoding="utf-8") as lines:
            for row in csv.DictReader((line for line in lines if not line.startswith("#")), delimiter="\t"):
                if row["column"] in names:
                    found[row["table"]].add(row["column"])
    return found


def declarations() -> Iterator[tuple[str, str, str | None]]:
    """Yield path, table and `changed` of all relations of gitlab.yaml that a delta does not have as a whole."""
    document = yaml.safe_load((SHIPPED / "gitlab.yaml").read_text(encoding="utf-8"))
    shapes = document["shapes"]

    def below(node: Mapping[str, Any], path: str) -> Iterator[tuple[str, str, str | None]]:
        node = {**shapes.get(node.get("like"), {}), **node}
        if "table" in node:
            yield path, node["table"], node.get("changed")
        if "successor" in node:
            yield f"{path}[successor]", node["successor"]["table"], node["successor"].get("changed")
        optional = document["optional"].get(path, ())
        for child in (*node.get("children", ()), *optional):
            yield from below(child, f"{path}.{child['relation']}")

    for top in (*document["relations"], *document["optional"]["project"]):
        if not (top.get("one") or top.get("kind") == "bundle"):
            yield from below(top, top["relation"])
