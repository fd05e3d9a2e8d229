"""docs/relations.md is what the tree says."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from project_export.tree import load_all
from project_export.tree.describe import document
from tests import commands

TINY = """
name: library
parameters: {note: {type: string}}
enums:
  kind: {null: unknown, 1: novel, 2: poem}
shapes:
  writer: {table: writers, keys: [name]}
editions: [free, paid]
root:
  relation: library
  table: libraries
  keys: [name, {note: {parameter: note}}]
  derived: {above: {climb: places, start: place_id, parent: parent_id, path: path, where: {kind: town}}}
relations:
  - relation: books
    table: books
    join: {library_id: id}
    where: {gone: null, kind: [1, 2]}
    either: [{root.name: x}, {meta: true, open: {not: [null, false]}}]
    also: [{join: {place_id: above}, unless: title, best: [{by: shelf desc, raised: {kind: id}}, id], editions: [paid]}]
    beside:
      meta: {from: metas, match: {book_id: id}, order: [id desc]}
    order: [shelf nulls last, id desc]
    keys:
      - title
      - {kind: {enum: kind}}
      - {cover: {constant: null, why: is not in the database}}
      - {colour: {column: hex, transform: text_colour, default: none}}
      - {price: {from: prices, match: {book_id: id}, column: amount, else: old_price}}
      - {size: {column: meta.size, absent: none, trim: true}}
      - {mood: {of: meta, cases: [{when: {kind: [null, 1], meta: true}, column: id, transform: digest}]}}
      - {copies: {from: loans, match: {book_id: id, of: [id, root.id]}, where: {late: {not: null}}, count: true}}
      - shelf:
          enum: kind
          layouts: [{column: shelf_name, without: [shelves]}]
          editions: {paid: {constant: null}}
          wrap: at
      - {level: {transform: yaml, when: {kind: {over: 3}}, blank: true, last: true}}
      - {isbn: {why: old books have none}}
    children:
      - {relation: author, like: writer, one: true, join: {id: author_id}, instead: {0: {name: nobody}}}
      - relation: loans
        table: loans
        join: {book_id: id}
        keys: [since]
        children:
          - {relation: translator, like: writer, one: true, join: {id: translator_id}}
"""


def described(folder: Path, tree: str = TINY) -> str:
    (folder / "library.yaml").write_text(tree, encoding="utf-8")
    return document(load_all(str(folder / "library.yaml")))


def test_the_file_in_the_docs_is_what_the_command_prints(repo):
    result = commands.run(["tree", "doc"])
    assert result.exit_code == 0
    written = (repo / "docs" / "relations.md").read_text(encoding="utf-8")
    assert result.stdout == written, "run: python -m tests.update"


def test_every_link_leads_to_one_heading(repo):
    text = (repo / "docs" / "relations.md").read_text(encoding="utf-8")
    headings = Counter(
        "#" + re.sub(r"[^\w-]", "", heading.lower().replace(" ", "-")) for heading in re.findall("(?m)^#+ (.+)$", text)
    )
    links = set(re.findall(r"\]\((#[^)]+)\)", text))
    assert links
    assert [link for link in links if headings[link] != 1] == []


def test_every_relation_and_every_key_is_described(repo):
    text = (repo / "docs" / "relations.md").read_text(encoding="utf-8")
    for path, relation in load_all("gitlab").extended().walk():
        assert f"**{relation.name}**" in text if "." in path else f"\n## {relation.name}\n" in text
        assert [key.name for key in relation.keys if f"`{key.name}`" not in text] == []


def test_optional_relations_and_what_is_not_covered_are_described(tmp_path):
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
    assert "`library_id` = `libraries.id`, ordered by `id`. Only if the source has the table. Export of" in text
    assert "- **map** (one, optional): `maps` where `book_id` = `books.id`; keys `scale`. Its changes" in text
    assert text.endswith("| --- | --- |\n| `books.smell` | nobody knows how to write it down |\n")


def test_rows_and_their_order_are_described(tmp_path):
    text = described(tmp_path)
    assert (
        "The rows of `books` where `library_id` = `libraries.id` and `gone` is NULL and `kind` is one of `1`, `2`"
        " and (`root.name` is `x` or there is a row `meta` and `open` is not one of NULL, `false`),"
        " ordered by `shelf` (NULL last), `id` descending."
        " Then those where `place_id` = any `places.id` from `place_id` upwards by `path`, or by `parent_id` and `kind`"
        " is `town`: for each combination of `title` whose `title` is not among the others, the first by `shelf`"
        " descending (one more if `kind` = `id` of the root), `id` (editions `paid`)." in text
    )
    assert "- **loans** (many): `loans` where `book_id` = `books.id`, ordered by `id`; keys `since`" in text


def test_how_a_value_is_made_is_described(tmp_path):
    text = described(tmp_path)
    assert "| `note` | the request's parameter `note` replaces it |" in text
    assert "| `kind` | the name from enum [kind](#enum-kind) |" in text
    assert "| `cover` | always `null`: is not in the database |" in text
    assert '| `colour` | from `hex`; converted by [text_colour](#transforms); `"none"` if it is NULL |' in text
    assert "| `price` | from `amount` of `prices` (where `book_id` = `id`), else `old_price` |" in text
    assert (
        '| `size` | from `meta.size`; without leading and trailing white space; `"none"` if there is no such row |'
        in text
    )
    case = "where `kind` is one of NULL, `1` and there is a row `meta`: from `id`; converted by [digest](#transforms)"
    assert f"| `mood` | `meta.mood` if there is such a row; else `mood`; {case} |" in text
    match = "where `book_id` = `id` and `of` = `id` or else `root.id` and `late` is not NULL"
    assert f"| `copies` | from the number of rows of `loans` ({match}) |" in text
    layout = "in a layout that has it and without the table `shelves`: from `shelf_name`"
    edition = "as an object with only the key `at`; edition paid: always `null`"
    assert f"| `shelf` | the name from enum [kind](#enum-kind); {layout}; {edition} |" in text
    level = "converted by [yaml](#transforms) where `kind` is over 3; a value of only white space counts as NULL"
    assert f"| `level` | {level}; comes after the nested relations |" in text
    assert "| `meta` | `metas` (where `book_id` = `id`, the first by `id` descending) |" in text
    assert "| `digest` | Return 40 hexadecimal digits computed from a value" in text
    assert "| `isbn` | usually NULL: old books have none |" in text
    assert "### Enum kind\n\nNULL `unknown`, 1 `novel`, 2 `poem`" in text
    assert "| title |" not in text


def test_a_record_in_several_places_is_described_once(tmp_path):
    text = described(tmp_path)
    assert text.count("### Records of writers\n\nKeys: `name`.") == 1
    link = "keys as in [Records of writers](#records-of-writers)"
    instead = 'If the join column is 0: `{"name":"nobody"}`'
    assert f"- **author** (one): `writers` where `id` = `books.author_id`; {link}. {instead}" in text
    assert f"  - **translator** (one): `writers` where `id` = `loans.translator_id`; {link}" in text


def test_when_a_key_was_added_and_removed_is_described(tmp_path):
    dates = "    since: {2.0..2.4: [isbn], 2.4..: [loans, kind]}\n    until: {1.9: [row]}\n"
    text = described(tmp_path, TINY.replace("    order: [shelf", f"{dates}    order: [shelf"))
    assert "\n\nNot in every version: `isbn` (added after 2.0, by 2.4); `loans`, `kind` (added after 2.4).\n\n" in text
    assert "\n\nIn older versions only: `row` (last seen in 1.9).\n\n" in text
    text = described(tmp_path, TINY.replace("keys: [since]", "keys: [since]\n        until: {1.9..2.0: [id]}"))
    assert "; keys `since`. In older versions only: `id` (last seen in 1.9, gone in 2.0). Its changes" in text


def test_how_a_change_shows_is_described(tmp_path):
    changed = "    changed: changed_at\n    merge: [title]\n    order: [shelf"
    text = described(tmp_path, TINY.replace("    order: [shelf", changed))
    assert "Export of changes: always everything.\n" in text  # the root
    assert "Export of changes: what changed by `changed_at`, merged by `title`.\n" in text
    assert "Its changes do not show\n" in text


def test_a_text_beside_the_tree_file_comes_first(tmp_path):
    (tmp_path / "library.md").write_text("# The library\n", encoding="utf-8")
    assert described(tmp_path).startswith("# The library\n\n## Overview\n")


def test_columns_that_are_not_exported_are_named_if_the_schema_is_known(repo):
    text = (repo / "docs" / "relations.md").read_text(encoding="utf-8")
    users = text.partition("### Records of users")[2].partition("\n### ")[0]
    assert "Other columns of the table, which are not exported:" in users
    assert "`encrypted_password`" in users
