"""The facts about a table, beside the tree: its lines in gitlab-columns.tsv and gitlab-keys.tsv.

They come from GitLab's db/structure.sql, which pg_dump writes: one column per line, keys and indexes in separate
statements.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

Row = tuple[str, ...]

TABLE = r"CREATE TABLE {} \(\n(.*?)\n\)"
COLUMN = re.compile(r" +(\w+) (.+?)(?: COLLATE \S+)?(?: DEFAULT (.+?))?( NOT NULL)?,?")
CAST = re.compile(r"('.*')::[\w \[\]]+")
CONSTRAINT = r"ALTER TABLE ONLY {}\s+ADD CONSTRAINT (\w+) (PRIMARY KEY|UNIQUE|FOREIGN KEY) \((.*?)\)(.*?);"
INDEX = (
    r"CREATE (UNIQUE )?INDEX (\w+) ON (?:ONLY )?{} USING (btree|gin)"
    r" \((.*?)\)((?: INCLUDE \(.*?\))?(?: WHERE .*)?);\n"
)
NAME = r"\w+(?: (?:ASC|DESC|NULLS|FIRST|LAST|\w+_ops))*"
NAMES = re.compile(rf"{NAME}(?:, {NAME})*")
KINDS = {"PRIMARY KEY": "pk", "UNIQUE": "unique", "FOREIGN KEY": "fk"}
ORDER = {"pk": 0, "index": 1, "unique": 1, "gin": 1, "fk": 2}


def named(tree: str) -> tuple[set[str], set[str]]:
    """Return the tables that a tree names: those of its relations, and those of its optional relations alone."""

    def tables(node: Any) -> Iterator[str]:
        for name, value in node.items() if isinstance(node, Mapping) else enumerate(node):
            if name in ("table", "from") and isinstance(value, str):
                yield value
            elif isinstance(value, Mapping | list):
                yield from tables(value)

    whole = yaml.safe_load(tree)
    free = set(tables({name: part for name, part in whole.items() if name != "optional"}))
    return free, set(tables(whole.get("optional", {}))) - free


def columns(sql: str, table: str) -> list[Row]:
    """Return (table, column, type, not null, default) of each column; none if there is no such table."""
    found = re.search(TABLE.format(table), sql, re.DOTALL)
    rows: list[Row] = []
    for line in found[1].split("\n") if found else ():
        if line.lstrip().startswith("CONSTRAINT"):
            continue
        column = COLUMN.fullmatch(line)
        assert column is not None, f"not a column as pg_dump writes it: {line}"
        name, kind, default, not_null = column.groups()
        default = "" if default is None or default.startswith("nextval(") else CAST.sub(r"\1", default)
        rows.append((table, name, kind, not_null.strip().lower() if not_null else "", default))
    return rows


def keys(sql: str, table: str, known: Collection[str]) -> Iterator[Row]:
    """Yield (kind, table, name, columns, detail) of each key and index.

    Foreign keys to unknown tables are left out, and indexes on expressions, which no statement here needs.
    """
    for name, kind, its, detail in re.findall(CONSTRAINT.format(table), sql, re.DOTALL):
        target = re.match(r" REFERENCES ((\w+)\(.*)", detail)
        if target is None or target[2] in known:
            yield KINDS[kind], table, name, its, target[1] if target else ""
    for unique, name, method, its, detail in re.findall(INDEX.format(table), sql):
        if NAMES.fullmatch(its):
            yield "gin" if method == "gin" else "unique" if unique else "index", table, name, its, detail.strip()


def add(path: Path, rows: list[Row], order: Callable[[Row], Any]) -> None:
    """Insert lines into a file of facts, each before the first that follows it in order."""
    lines = path.read_text(encoding="utf-8").splitlines()
    head = next(number for number, line in enumerate(lines) if not line.startswith("#")) + 1
    for row in rows:
        after = (n for n in range(head, len(lines)) if order(tuple(lines[n].split("\t"))) > order(row))
        place = next(after, len(lines))
        lines.insert(place, "\t".join(row))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def by_table(row: Row) -> str:
    """Return the sort key of a column."""
    return row[0]


def by_kind(row: Row) -> tuple[int, str]:
    """Return the sort key of a key."""
    return ORDER[row[0]], row[1]
