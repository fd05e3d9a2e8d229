"""Keys, lookups, enums and orders of a tree file, and which names they may have: those of the reference schema."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from pathlib import Path
from string import Formatter
from typing import Any

import yaml

from project_export.errors import TreeError, nearest
from project_export.tree.model import Condition, Elsewhere, Enum, Key, Lookup, Order, Relation
from project_export.tree.nodes import Fields, Nodes
from project_export.tree.transforms import TRANSFORMS

_LOOKUP = {"from", "match", "where", "order", "column", "else"}
_FORM = {"enum", "transform", "when", "default", "blank", "elsewhere", "wrap", "parameter"}
_KEY = _LOOKUP | _FORM | {"constant", "last", "why"}
_ELSEWHERE = {"offset", "size", "from", "match", "file"}
_NEEDS = {"match": "from", "where": "from", "order": "from", "when": "transform"}
_EXCLUDES = {"constant": _LOOKUP | _FORM, "transform": {"enum", "wrap"}, "blank": {"enum"}}
_QUOTED = re.compile(r'\s*"((?:[^"]|"")+)"(?=\s|$)')
_MOST_BYTES = 63  # longer names are cut by PostgreSQL, without an error


class Keys(Nodes):
    """Reads keys. enums: those of the file, by name. known: the reference schema, if there is one."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.enums: dict[str, Enum] = {}
        self.known: dict[str, dict[str, str]] = {}

    def key(self, node: yaml.Node, table: str) -> Key:
        """Return a key of a relation of this table."""
        line = node.start_mark.line + 1
        if isinstance(node, yaml.ScalarNode):
            name = self.column(node, table)
            return Key(self.name(node), column=name, line=line)
        pairs = self.pairs(node, "a key")
        if len(pairs) != 1:
            self.fail(node, "a key is a name, or one name with its description: {name: {column: ...}}")
        name, body = self.name(pairs[0][0]), pairs[0][1]
        fields = self.fields(body, _KEY, f"key {name}")
        self.fit(body, fields, f"key {name}")
        why = self.text(fields["why"]) if "why" in fields else None
        if "constant" in fields:
            last = self.flag(fields.get("last"))
            return Key(name, constant=self.json(fields["constant"]), last=last, why=why, line=line)
        lookup = self.lookup(body, name, table) if "from" in fields else None
        return Key(
            name=name,
            column=None if lookup else self.column(fields.get("column", pairs[0][0]), table),
            fallback=self.column(fields["else"], table) if "else" in fields and lookup is None else None,
            lookup=lookup,
            enum=self.enums[self.choose(fields["enum"], self.enums, "enum")] if "enum" in fields else None,
            transform=self.choose(fields["transform"], TRANSFORMS, "transform") if "transform" in fields else None,
            when=self.column(fields["when"], table) if "when" in fields else None,
            default=self.json(fields["default"]) if "default" in fields else None,
            blank=self.flag(fields.get("blank")),
            elsewhere=self.elsewhere(fields["elsewhere"], table) if "elsewhere" in fields else None,
            wrap=self.name(fields["wrap"]) if "wrap" in fields else None,
            parameter=self.text(fields["parameter"]) if "parameter" in fields else None,
            last=self.flag(fields.get("last")),
            why=why,
            line=line,
        )

    def fit(self, node: yaml.Node, fields: Fields, what: str) -> None:
        """Refuse attributes of a key that say nothing together."""
        for name in fields:
            if name in _NEEDS and _NEEDS[name] not in fields:
                self.fail(node, f"{what}: {name} says nothing without {_NEEDS[name]}")
            for other in sorted(_EXCLUDES.get(name, set()) & fields.keys()):
                self.fail(node, f"{what}: {name} and {other} exclude each other")

    def lookup(self, node: yaml.Node, name: str, own: str) -> Lookup:
        """Return a lookup for rows of the table `own`; `name` is the column when none is given."""
        fields = self.fields(node, _KEY, f"lookup {name}", required=("from", "match"))
        table = self.known_table(fields["from"])
        column = self.column(fields.get("column", node), table, None if "column" in fields else name)
        match = self.matched(fields["match"], table, own)
        if not match:
            self.fail(node, f"lookup {name} matches nothing: {{its column: own column}}")
        fallback = self.column(fields["else"], own) if "else" in fields else None
        order = tuple(self.order(item, table) for item in self.items(fields.get("order"), "order"))
        return Lookup(table, match, column, fallback, self.conditions(fields, table), order)

    def elsewhere(self, node: yaml.Node, own: str) -> Elsewhere:
        """Return where a value lies that is not in the row."""
        if isinstance(node, yaml.ScalarNode):
            return Elsewhere(self.column(node, own))
        fields = self.fields(node, _ELSEWHERE, "elsewhere", required=tuple(sorted(_ELSEWHERE)))
        table = self.known_table(fields["from"])
        file: list[str] = []
        try:
            for text, name, _, _ in Formatter().parse(self.text(fields["file"])):
                file += [text, self.column(fields["file"], table, name)] if name is not None else [text, ""]
        except ValueError as error:
            self.fail(fields["file"], f"the path of a file names columns in braces, {{column}}: {error}")
        return Elsewhere(
            offset=self.column(fields["offset"], own),
            size=self.column(fields["size"], own),
            table=table,
            match=self.matched(fields["match"], table, own),
            file=tuple(file[:-1] if file[-1] == "" else [*file, ""]),
        )

    def matched(self, node: yaml.Node, table: str, own: str) -> tuple[tuple[str, str], ...]:
        """Return the pairs (its column, own column) by which a lookup finds its row."""
        return tuple((self.column(key, table), self.column(value, own)) for key, value in self.pairs(node, "match"))

    def conditions(self, fields: Fields, table: str) -> tuple[Condition, ...]:
        """Return the conditions on rows of a table."""
        pairs = self.pairs(fields.get("where"), "where")
        return tuple((self.column(column, table), self.scalars(value)) for column, value in pairs)

    def enum(self, name: str, node: yaml.Node) -> Enum:
        """Return the names of codes."""
        names: list[tuple[int | None, str]] = []
        for key, value in self.pairs(node, f"enum {name}"):
            code = self.plain(key)
            if code is not None and (not isinstance(code, int) or isinstance(code, bool)):
                self.fail(key, f"enum {name}: the code {code!r} is neither an integer nor null")
            names.append((code, self.text(value)))
        if all(code is None for code, _ in names):
            self.fail(node, f"enum {name} names no code")
        return Enum(name, tuple(names))

    def order(self, node: yaml.Node, table: str) -> Order:
        """Return one column of an order with its direction."""
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

    # What a name may be.

    def name(self, node: yaml.Node) -> str:
        """Return the name under which a value leaves."""
        name = self.text(node)
        if len(name.encode()) > _MOST_BYTES:
            self.fail(node, f"the name {name} has more than {_MOST_BYTES} bytes, which PostgreSQL would cut")
        return name

    def known_table(self, node: yaml.Node) -> str:
        """Return the name of a table, which the reference schema has."""
        return self.choose(node, self.known, "table") if self.known else self.text(node)

    def column(self, node: yaml.Node, table: str, name: str | None = None) -> str:
        """Return the name of a column, which the reference schema has; `name` stands for the node's own."""
        column = name or self.text(node)
        if self.known and column not in self.known[table]:
            self.fail(node, f"table {table} has no column {column}; {nearest(column, self.known[table])}")
        return column

    def link(self, node: yaml.Node, parent: Relation) -> str:
        """Return what a relation joins on: a column of its parent, or a value derived there."""
        name = self.text(node)
        valid = {*self.known.get(parent.table, ()), *(derived for derived, _ in parent.derived)}
        if self.known and name not in valid:
            message = f"{parent.name} has no {name} to join, neither as a column of {parent.table} nor derived"
            self.fail(node, f"{message}; {nearest(name, valid)}")
        return name

    def choose(self, node: yaml.Node, valid: Mapping[str, Any], what: str) -> str:
        """Return a name that is one of the valid ones."""
        name = self.text(node)
        if name not in valid:
            self.fail(node, f"{what} {name} is unknown; {nearest(name, valid)}")
        return name


def read_schema(path: Path) -> dict[str, dict[str, str]]:
    """Read the reference schema, a TSV with the columns `table`, `column`, `type` if known: what a tree may name."""
    tables: dict[str, dict[str, str]] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader((line for line in file if not line.startswith("#")), delimiter="\t"):
                tables.setdefault(row["table"], {})[row["column"]] = row.get("type") or ""
    except (OSError, KeyError, ValueError) as error:
        raise TreeError(f"{path}: not a readable schema (a TSV with the columns table and column): {error}") from error
    return tables
