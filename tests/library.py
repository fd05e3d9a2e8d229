"""A small schema that is not GitLab's, a tree of it that declares parameters, and the archive of its one library."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import psycopg

ID = 7
COLUMNS = {
    "libraries": {"id": "integer", "name": "text", "motto": "text", "shelves": "integer"},
    "books": {
        **{"id": "integer", "library_id": "integer", "title": "text"},
        **{"price": "double precision", "lent": "boolean"},
    },
    "loans": {"id": "integer", "book_id": "integer", "reader": "text", "days": "smallint"},
    "rules": {"id": "integer", "library_id": "integer", "iid": "integer", "user_sha": "text", "opened_at": "text"},
}
ROWS = """
INSERT INTO libraries VALUES (7, 'Town <library> & more', 'old', 3);
INSERT INTO books VALUES (1, 7, 'a < b', 1.5, NULL), (2, 7, E'\\u2028', NULL, false);
INSERT INTO loans VALUES (1, 1, 'Ann', 14), (2, 1, 'Bob', 7);
INSERT INTO rules VALUES (1, 7, 1, 'no id of Git', 'never'), (2, 7, 1, '', '');
"""
"""Rows that GitLab's importer would find fault with, by their keys' names."""
TREE = """
name: library
schema: library.tsv
parameters:
  motto: {type: string, longest: 20, title: Motto, description: What is written above the door.}
  shelves: {type: integer}
  price: {type: number, default: 0.5}
  lent: {type: boolean}
root:
  relation: library
  table: libraries
  keys: [name, {motto: {parameter: motto}}, {shelves: {parameter: shelves, wrap: number}}]
relations:
  - relation: books
    table: books
    join: {library_id: id}
    keys: [title, {price: {parameter: price}}, {lent: {parameter: lent, last: true}}]
    children:
      - {relation: loans, table: loans, join: {book_id: id}, keys: [reader, days]}
  - {relation: rules, table: rules, join: {library_id: id}, keys: [iid, user_sha, opened_at]}
  - {relation: no_rules, table: rules, join: {library_id: shelves}, keys: [iid]}
"""
PARAMETERS = {"motto": "a < b", "lent": "true"}
"""As they are given in a shell."""
FILES = {
    "tree/library.json": '{"name":"Town <library> & more","motto":"a < b","shelves":{"number":3}}',
    "tree/library/books.ndjson": (
        '{"title":"a < b","price":0.5,"loans":[{"reader":"Ann","days":14},{"reader":"Bob","days":7}],"lent":true}\n'
        '{"title":"\u2028","price":0.5,"loans":[],"lent":true}\n'
    ),
    "tree/library/rules.ndjson": (
        '{"iid":1,"user_sha":"no id of Git","opened_at":"never"}\n{"iid":1,"user_sha":"","opened_at":""}\n'
    ),
}
"""The files of the archive that is exported with these parameters."""


def fill(database: str) -> None:
    """Create the tables and the library in an empty database."""
    with psycopg.connect(database) as conn:
        for table, columns in COLUMNS.items():
            described = ", ".join(f"{name} {kind}" for name, kind in columns.items())
            conn.execute(f"CREATE TABLE {table} ({described}, PRIMARY KEY (id))".encode())
        conn.execute(ROWS.encode())


def write_tree(folder: Path, text: str = TREE) -> Path:
    """Write the tree and its reference schema into a folder; return the tree's path."""
    lines = [f"{table}\t{name}\t{kind}" for table, columns in COLUMNS.items() for name, kind in columns.items()]
    (folder / "library.tsv").write_text("\n".join(["table\tcolumn\ttype", *lines, ""]), "utf-8")
    file = folder / "library.yaml"
    file.write_text(text, "utf-8")
    return file


def write_archive(path: Path, files: Mapping[str, str]) -> None:
    """Write an archive of these files."""
    with tarfile.open(path, "w:gz") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))


def files_of(archive: Path) -> dict[str, str]:
    """Return the files of an archive by name, as texts."""
    with tarfile.open(archive) as tar:
        members = [(member, tar.extractfile(member)) for member in tar.getmembers()]
        return {member.name.removeprefix("./"): file.read().decode() for member, file in members if file is not None}
