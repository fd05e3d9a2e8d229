"""docs/relations.md is what the tree says."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from typer.testing import CliRunner

from project_export.cli import app
from project_export.tree import load
from project_export.tree.describe import document

TINY = """
name: library
enums:
  kind: {null: unknown, 1: novel, 2: poem}
shapes:
  writer: {table: writers, keys: [name]}
root: {relation: library, table: libraries, keys: [name, {note: {parameter: note}}]}
relations:
  - relation: books
    table: books
    join: {library_id: id}
    where: {gone: null, kind: [1, 2]}
    order: [shelf nulls last, id desc]
    keys:
      - title
      - {kind: {enum: kind}}
      - {cover: {constant: null, why: is not in the database}}
      - {colour: {column: hex, transform: text_colour, default: none}}
      - {price: {from: prices, match: {book_id: id}, column: amount, else: old_price}}
      - {isbn: {why: old books have none}}
    children:
      - {relation: author, like: writer, one: true, join: {id: author_id}}
      - relation: loans
        table: loans
        join: {book_id: id}
        keys: [since]
        children:
          - {relation: translator, like: writer, one: true, join: {id: translator_id}}
"""


def described(folder: Path, tree: str = TINY) -> str:
    (folder / "library.yaml").write_text(tree, encoding="utf-8")
    return document(load(str(folder / "library.yaml")))


def test_the_file_in_the_docs_is_what_the_command_prints(repo):
    result = CliRunner().invoke(app, ["tree", "doc"])
    assert result.exit_code == 0
    written = (repo / "docs" / "relations.md").read_text(encoding="utf-8")
    assert result.stdout == written, "run: project-export tree doc > docs/relations.md"


def test_every_link_leads_to_one_heading(repo):
    text = (repo / "docs" / "relations.md").read_text(encoding="utf-8")
    headings = Counter(
        "#" + re.sub(r"[^\w-]", "", heading.lower().replace(" ", "-")) for heading in re.findall("(?m)^#+ (.+)$", text)
    )
    links = set(re.findall(r"\]\((#[^)]+)\)", text))
    assert links
    assert [link for link in links if headings[link] != 1] == []


def test_every_relation_and_every_key_is_told(repo):
    text = (repo / "docs" / "relations.md").read_text(encoding="utf-8")
    for path, relation in load("gitlab").extended().walk():
        assert f"**{relation.name}**" in text if "." in path else f"\n## {relation.name}\n" in text
        assert [key.name for key in relation.keys if f"`{key.name}`" not in text] == []


def test_optional_relations_and_what_is_not_covered_are_told(tmp_path):
    more = """
optional:
  library:
    - {relation: films, table: films, join: {library_id: id}, keys: [title]}
  books:
    - {relation: map, table: maps, one: true, join: {book_id: id}, keys: [scale]}
uncovered:
  books.smell: nobody knows how to write it down
"""
    text = described(tmp_path, TINY + more)
    assert "| [films](#films) | many, optional | `films` | 1 | 0 |" in text
    assert "`library_id` = `libraries.id`, ordered by `id`. Only where the source has the table.\n" in text
    assert "- **map** (one, optional): `maps` where `book_id` = `books.id`; keys `scale`\n" in text
    assert text.endswith("| --- | --- |\n| `books.smell` | nobody knows how to write it down |\n")


def test_rows_and_their_order_are_told(tmp_path):
    text = described(tmp_path)
    assert (
        "The rows of `books` where `library_id` = `libraries.id` and `gone` is NULL and `kind` is one of `1`, `2`,"
        " ordered by `shelf` (NULL last), `id` descending." in text
    )
    assert "- **loans** (many): `loans` where `book_id` = `books.id`, ordered by `id`; keys `since`" in text


def test_what_is_made_of_a_value_is_told(tmp_path):
    text = described(tmp_path)
    assert "| `note` | the request's parameter `note` replaces it |" in text
    assert "| `kind` | the name by enum [kind](#enum-kind) |" in text
    assert "| `cover` | always `null`: is not in the database |" in text
    assert '| `colour` | from `hex`; by transform [text_colour](#transforms); `"none"` where it is NULL |' in text
    assert "| `price` | `prices.amount` where `book_id` = `id`, else `old_price` |" in text
    assert "| `isbn` | NULL as a rule: old books have none |" in text
    assert "### Enum kind\n\nNULL `unknown`, 1 `novel`, 2 `poem`" in text
    assert "| title |" not in text


def test_a_record_that_stands_in_several_places_is_told_once(tmp_path):
    text = described(tmp_path)
    assert text.count("### Records of writers\n\nKeys: `name`.") == 1
    link = "keys as of [Records of writers](#records-of-writers)"
    assert f"- **author** (one): `writers` where `id` = `books.author_id`; {link}" in text
    assert f"  - **translator** (one): `writers` where `id` = `loans.translator_id`; {link}" in text


def test_when_a_key_came_and_went_is_told(tmp_path):
    dates = "    since: {2.0..2.4: [isbn], 2.4..: [loans, kind]}\n    until: {1.9: [shelf]}\n"
    text = described(tmp_path, TINY.replace("    order: [shelf", f"{dates}    order: [shelf"))
    assert (
        "\n\nNot in every version: `isbn` (came after 2.0, in 2.4 at the latest); `loans`, `kind` (came after 2.4).\n\n"
        in text
    )
    assert "\n\nIn older versions only: `shelf` (last seen in 1.9).\n\n" in text
    text = described(tmp_path, TINY.replace("keys: [since]", "keys: [since]\n        until: {1.9..2.0: [id]}"))
    assert "; keys `since`. In older versions only: `id` (last seen in 1.9, gone in 2.0)\n" in text


def test_a_text_beside_the_tree_file_comes_first(tmp_path):
    (tmp_path / "library.md").write_text("# The library\n", encoding="utf-8")
    assert described(tmp_path).startswith("# The library\n\n## Overview\n")


def test_columns_that_stay_are_named_where_the_schema_is_known(repo):
    text = (repo / "docs" / "relations.md").read_text(encoding="utf-8")
    users = text.partition("### Records of users")[2].partition("\n### ")[0]
    assert "Other columns of the table, which do not leave:" in users
    assert "`encrypted_password`" in users
