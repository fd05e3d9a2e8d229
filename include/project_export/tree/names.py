"""Names in a tree file: tables, columns, references, conditions, orders, enums. The reference schema has them all."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from project_export.errors import TreeError, nearest
from project_export.tree.forms import ROOT, Beside, Condition, Enum, Order, Ref
from project_export.tree.model import Relation
from project_export.tree.nodes import Nodes

_QUOTED = re.compile(r'\s*"((?:[^"]|"")+)"(?=\s|$)')
_MOST_BYTES = 63  # PostgreSQL cuts longer names without an error
_TESTS = ("not", "over")


@dataclass(frozen=True)
class Rows:
    """What references may name: columns of a table, of the rows beside, of the root and of the rows beside the root."""

    table: str
    beside: Mapping[str, Beside] = field(default_factory=dict)
    root: Relation | None = None

    def named(self, row: str) -> str | None:
        """Return the table of a row that a reference names; None if it may not name such a row."""
        if row in self.beside:
            return self.beside[row].table
        if self.root is not None and row == ROOT:
            return self.root.table
        if self.root is not None and row.startswith(f"{ROOT}."):
            of_root = {beside.name: beside.table for beside in self.root.beside}
            return of_root.get(row.removeprefix(f"{ROOT}."))
        return None


class Names(Nodes):
    """Reads names. enums: those of the file, by name. known: the reference schema; empty if there is none."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.enums: dict[str, Enum] = {}
        self.known: dict[str, dict[str, str]] = {}

    # Columns.

    def ref(self, node: yaml.Node, rows: Rows, name: str | None = None) -> Ref:
        """Return a reference: a column, or `row.column` of a row beside. name: replaces the node's text."""
        text = name or self.text(node)
        row, _, column = text.rpartition(".")
        table = rows.named(row) if row else None
        if table is None:
            return Ref(self.column(node, rows.table, text))
        return Ref(self.column(node, table, column), row)

    def refs(self, node: yaml.Node, rows: Rows) -> tuple[Ref, ...]:
        """Return one reference, or a list of them."""
        listed = self.items(node, "a list of columns") if isinstance(node, yaml.SequenceNode) else [node]
        return tuple(self.ref(item, rows) for item in listed)

    def beside_ref(self, node: yaml.Node, column: yaml.Node, rows: Rows, name: str | None) -> Ref:
        """Return a column of the row beside that `node` names."""
        row = self.choose(node, rows.beside, "row beside")
        return Ref(self.column(column, rows.beside[row].table, name), row)

    def has_column(self, rows: Rows, name: str) -> bool:
        """Whether the row itself has a column of this name; true if there is no reference schema."""
        return not self.known or name in self.known.get(rows.table, ())

    def column(self, node: yaml.Node, table: str, name: str | None = None) -> str:
        """Return the name of a column that the reference schema has. name: replaces the node's text."""
        column = name or self.text(node)
        if self.known and column not in self.known[table]:
            self.fail(node, f"table {table} has no column {column}; {nearest(column, self.known[table])}")
        return column

    def known_table(self, node: yaml.Node) -> str:
        """Return the name of a table that the reference schema has."""
        return self.choose(node, self.known, "table") if self.known else self.text(node)

    def name(self, node: yaml.Node) -> str:
        """Return the name under which a value is exported."""
        name = self.text(node)
        if len(name.encode()) > _MOST_BYTES:
            self.fail(node, f"the name {name} has more than {_MOST_BYTES} bytes; PostgreSQL would cut it")
        return name

    def link(self, node: yaml.Node, parent: Relation) -> str:
        """Return what a relation joins on: a column or a derived value of its parent."""
        name = self.text(node)
        valid = {*self.known.get(parent.table, ()), *(derived for derived, _ in parent.derived)}
        if self.known and name not in valid:
            message = f"{parent.name} has no {name} to join on, neither as a column of {parent.table} nor derived"
            self.fail(node, f"{message}; {nearest(name, valid)}")
        return name

    # Conditions and orders.

    def conditions(self, node: yaml.Node | None, rows: Rows) -> tuple[Condition, ...]:
        """Return conditions: {column: value, list of values, {not: ...}, {over: number}, or of a row: true, false}."""
        return tuple(self.condition(column, value, rows) for column, value in self.pairs(node, "where"))

    def condition(self, column: yaml.Node, value: yaml.Node, rows: Rows) -> Condition:
        """Return one condition on a column, or on whether a row beside exists."""
        name = self.text(column)
        ref = Ref("", name) if rows.named(name) is not None and name != ROOT else self.ref(column, rows)
        if isinstance(value, yaml.MappingNode):
            pairs = self.pairs(value, "a condition")
            test = self.text(pairs[0][0]) if len(pairs) == 1 else ""
            if test not in _TESTS:
                self.fail(value, f"a condition is a value, a list, or one of {{{': ...}, {'.join(_TESTS)}: ...}}")
            values = self.scalars(pairs[0][1])
            if test == "over" and not (len(values) == 1 and type(values[0]) is int):
                self.fail(value, "over compares with one integer")
            return Condition(ref, values, test)
        values = self.scalars(value)
        if not ref.column and not (len(values) == 1 and isinstance(values[0], bool)):
            self.fail(value, f"whether the row {name} exists is true or false")
        return Condition(ref, values)

    def whenever(self, node: yaml.Node, rows: Rows) -> tuple[Condition, ...]:
        """Return conditions; the name of a column alone means that it is true."""
        if isinstance(node, yaml.ScalarNode):
            return (Condition(self.ref(node, rows), (True,)),)
        return self.conditions(node, rows)

    def order(self, node: yaml.Node, table: str) -> Order:
        """Return one column of an order, with its direction."""
        text = self.text(node)
        quoted = _QUOTED.match(text)
        words = (text[quoted.end() :] if quoted else text).split()
        name = quoted[1].replace('""', '"') if quoted else words.pop(0)
        column, rest = self.column(node, table, name), " ".join(words)
        forms = {
            "": Order(column),
            "desc": Order(column, descending=True),
            "nulls last": Order(column, nulls_last=True),
            "desc nulls last": Order(column, descending=True, nulls_last=True),
        }
        if rest not in forms:
            self.fail(node, f"order {rest!r} is unknown; {nearest(rest, filter(None, forms))}")
        return forms[rest]

    # Enums and choices.

    def enum(self, name: str, node: yaml.Node) -> Enum:
        """Return the names of codes."""
        names: list[tuple[int | None, str]] = []
        for key, value in self.pairs(node, f"enum {name}"):
            code = self.plain(key)
            if code is not None and (not isinstance(code, int) or isinstance(code, bool)):
                self.fail(key, f"enum {name}: the code {code!r} is neither an integer nor null")
            names.append((code, self.text(value)))
        if all(code is None for code, _ in names):
            self.fail(node, f"enum {name} has no code")
        return Enum(name, tuple(names))

    def choose(self, node: yaml.Node, valid: Mapping[str, Any], what: str) -> str:
        """Return a name; raise TreeError unless it is one of the valid ones."""
        name = self.text(node)
        if name not in valid:
            self.fail(node, f"{what} {name} is unknown; {nearest(name, valid)}")
        return name


def read_schema(path: Path) -> dict[str, dict[str, str]]:
    """Return a reference schema, what a tree may name: a TSV with the columns `table`, `column` and maybe `type`."""
    tables: dict[str, dict[str, str]] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader((line for line in file if not line.startswith("#")), delimiter="\t"):
                tables.setdefault(row["table"], {})[row["column"]] = row.get("type") or ""
    except (OSError, KeyError, ValueError) as error:
        raise TreeError(f"{path}: not a readable schema (a TSV with the columns table and column): {error}") from error
    return tables
