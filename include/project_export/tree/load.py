"""A YAML tree file → a checked Tree. Every mistake is a TreeError with file, line, what, and the nearest valid name.

The language, by example:

    enums:
      state: {1: opened, 2: closed}          # code: name; the code null names what NULL leaves as
    shapes:                                  # a relation's content that stands in several places
      author: {table: users, keys: [name]}
    root: {relation: project, table: projects, keys: [name]}
    relations:
      - relation: issues
        table: issues
        join: {project_id: id}               # own column: parent's column
        where: {type: Issue, deleted_at: null, source: [null, 1, 2]}
        order: [position nulls last, id desc]
        keys:
          - title                            # key = column
          - state: {column: state_id, enum: state}
          - params: {transform: yaml, default: {}}
          - squash: {from: settings, match: {project_id: id}, column: squash, else: squash}
          - branch: {constant: null, why: comes from the Git repository}
        children:
          - {relation: author, like: author, one: true, join: {id: author_id}}
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

import yaml

from project_export.errors import TreeError, nearest
from project_export.tree.model import Enum, Key, Lookup, Order, Relation, Scalar, Tree
from project_export.tree.transforms import TRANSFORMS

SHIPPED = Path(__file__).parent.parent / "trees"

_FILE = {"name", "schema", "enums", "shapes", "root", "relations"}
_CONTENT = {"table", "order", "key", "keys", "derived", "children"}
_RELATION = _CONTENT | {"relation", "like", "one", "join", "where", "constant"}
_LOOKUP = {"from", "match", "column", "else"}
_KEY = _LOOKUP | {"enum", "transform", "when", "default", "wrap", "parameter", "constant", "why"}

Fields = Mapping[str, yaml.Node]


@lru_cache(maxsize=8)
def load(name: str) -> Tree:
    """Read a tree: the name of a shipped one ("gitlab") or the path of a YAML file. Raises TreeError."""
    path = SHIPPED / f"{name}.yaml" if name.isidentifier() else Path(name)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        shipped = [file.stem for file in SHIPPED.glob("*.yaml")]
        raise TreeError(f"{path}: {error.strerror}; give a path or a shipped tree, {nearest(name, shipped)}") from error
    return _Reader(path).tree(text)


class _Reader:
    """Reads one file; holds what messages and references need."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.enums: dict[str, Enum] = {}
        self.shapes: dict[str, Fields] = {}
        self.known: dict[str, dict[str, str]] = {}

    def fail(self, node: yaml.Node, message: str) -> NoReturn:
        raise TreeError(f"{self.path}:{node.start_mark.line + 1}: {message}")

    def tree(self, text: str) -> Tree:
        try:
            document = yaml.compose(text, Loader=yaml.CSafeLoader)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = f"{self.path}:{mark.line + 1}" if mark else str(self.path)
            raise TreeError(f"{where}: not YAML: {getattr(error, 'problem', error)}") from error
        if document is None:
            raise TreeError(f"{self.path}:1: the file is empty; it needs name, root and relations")
        fields = self.fields(document, _FILE, "the tree", required=("name", "root", "relations"))
        if "schema" in fields:
            self.known = _read_schema(self.path.parent / self.text(fields["schema"]))
        for name, node in self.mapping(fields.get("enums")).items():
            self.enums[name] = self.enum(name, node)
        for name, node in self.mapping(fields.get("shapes")).items():
            self.shapes[name] = self.fields(node, _CONTENT, f"shape {name}")
        root = self.relation(fields["root"], ())
        relations = tuple(self.relation(node, (root,)) for node in self.items(fields["relations"]))
        self.unique(fields["relations"], [root.name, *(relation.name for relation in relations)], "relation")
        return Tree(self.text(fields["name"]), str(self.path), root, relations, self.known)

    def relation(self, node: yaml.Node, parents: tuple[Relation, ...]) -> Relation:
        fields = self.fields(node, _RELATION, "a relation", required=("relation",))
        name = self.text(fields["relation"])
        line = node.start_mark.line + 1
        if "constant" in fields:
            return Relation(name, one=self.flag(fields.get("one")), constant=self.json(fields["constant"]), line=line)
        if "like" in fields:
            shape = self.choose(fields["like"], self.shapes, "shape")
            fields = {**self.shapes[shape], **fields}
        if "table" not in fields:
            self.fail(node, f"relation {name} has no table; give table, like or constant")
        if parents and "join" not in fields:
            self.fail(node, f"relation {name} has no join to {parents[-1].name}")
        table = self.known_table(fields["table"])
        derived = tuple(
            (key, self.lookup(value, key, table)) for key, value in self.mapping(fields.get("derived")).items()
        )
        join = tuple(
            (self.column(key, table), self.text(value)) for key, value in self.pairs(fields.get("join"), "join")
        )
        keys = tuple(self.key(item, table) for item in self.items(fields.get("keys")))
        if "keys" in fields:
            self.unique(fields["keys"], [key.name for key in keys], "key")
        relation = Relation(
            name=name,
            table=table,
            one=self.flag(fields.get("one")),
            join=join,
            where=tuple(
                (self.column(key, table), self.values(value)) for key, value in self.pairs(fields.get("where"), "where")
            ),
            order=tuple(self.order(item, table) for item in self.items(fields.get("order"))) or (Order("id"),),
            key=tuple(self.column(item, table) for item in self.items(fields.get("key"))) or ("id",),
            keys=keys,
            derived=derived,
            line=line,
        )
        children = tuple(self.relation(child, (*parents, relation)) for child in self.items(fields.get("children")))
        if "children" in fields:
            self.unique(fields["children"], [*(k.name for k in keys), *(c.name for c in children)], "key")
            self.check_links(fields["children"], relation, children)
        return Relation(**{**vars(relation), "children": children})

    def key(self, node: yaml.Node, table: str) -> Key:
        line = node.start_mark.line + 1
        if isinstance(node, yaml.ScalarNode):
            name = self.column(node, table)
            return Key(name, column=name, line=line)
        pairs = self.pairs(node, "a key")
        if len(pairs) != 1:
            self.fail(node, "a key is a name, or one name with its description: {name: {column: ...}}")
        name, body = self.text(pairs[0][0]), pairs[0][1]
        fields = self.fields(body, _KEY, f"key {name}")
        if "constant" in fields:
            why = self.text(fields["why"]) if "why" in fields else None
            return Key(name, constant=self.json(fields["constant"]), why=why, line=line)
        lookup = self.lookup(body, name, table) if "from" in fields else None
        column = None
        if lookup is None:
            column = self.column(fields["column"], table) if "column" in fields else name
            if "column" not in fields:
                self.column(pairs[0][0], table)
        return Key(
            name=name,
            column=column,
            lookup=lookup,
            enum=self.enums[self.choose(fields["enum"], self.enums, "enum")] if "enum" in fields else None,
            transform=self.choose(fields["transform"], TRANSFORMS, "transform") if "transform" in fields else None,
            when=self.column(fields["when"], table) if "when" in fields else None,
            default=self.json(fields["default"]) if "default" in fields else None,
            wrap=self.text(fields["wrap"]) if "wrap" in fields else None,
            parameter=self.text(fields["parameter"]) if "parameter" in fields else None,
            line=line,
        )

    def lookup(self, node: yaml.Node, name: str, own: str) -> Lookup:
        fields = self.fields(node, _KEY, f"lookup {name}", required=("from", "match"))
        table = self.known_table(fields["from"])
        column = self.column(fields["column"], table) if "column" in fields else name
        match = tuple(
            (self.column(key, table), self.column(value, own)) for key, value in self.pairs(fields["match"], "match")
        )
        fallback = self.column(fields["else"], own) if "else" in fields else None
        return Lookup(table, match, column, fallback)

    def enum(self, name: str, node: yaml.Node) -> Enum:
        names: list[tuple[int | None, str]] = []
        for key, value in self.pairs(node, f"enum {name}"):
            code = self.plain(key)
            if code is not None and not isinstance(code, int):
                self.fail(key, f"enum {name}: the code {code!r} is neither an integer nor null")
            names.append((code, self.text(value)))
        return Enum(name, tuple(names))

    def order(self, node: yaml.Node, table: str) -> Order:
        words = self.text(node).split()
        column, rest = self.column(node, table, words[0]), " ".join(words[1:])
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

    def known_table(self, node: yaml.Node) -> str:
        return self.choose(node, self.known, "table") if self.known else self.text(node)

    def column(self, node: yaml.Node, table: str, name: str | None = None) -> str:
        column = name or self.text(node)
        if self.known and column not in self.known[table]:
            self.fail(node, f"table {table} has no column {column}; {nearest(column, self.known[table])}")
        return column

    def choose(self, node: yaml.Node, valid: Mapping[str, Any], what: str) -> str:
        name = self.text(node)
        if name not in valid:
            self.fail(node, f"{what} {name} is unknown; {nearest(name, valid)}")
        return name

    def check_links(self, node: yaml.Node, relation: Relation, children: Sequence[Relation]) -> None:
        valid = {*self.known.get(relation.table, ()), *(name for name, _ in relation.derived)}
        for child in children:
            for _, parent in child.join:
                if self.known and parent not in valid:
                    message = f"{child.name} joins {relation.name}.{parent}, which is neither a column nor derived"
                    self.fail(node, f"{message}; {nearest(parent, valid)}")

    def unique(self, node: yaml.Node, names: Sequence[str], what: str) -> None:
        for name in names:
            if names.count(name) > 1:
                self.fail(node, f"{what} {name} stands twice")

    # YAML nodes to values.

    def fields(self, node: yaml.Node, valid: set[str], what: str, required: tuple[str, ...] = ()) -> Fields:
        fields = self.mapping(node)
        for key, _ in self.pairs(node, what):
            if self.text(key) not in valid:
                self.fail(key, f"{what} has no attribute {self.text(key)}; {nearest(self.text(key), valid)}")
        for name in required:
            if name not in fields:
                self.fail(node, f"{what} lacks the attribute {name}")
        return fields

    def mapping(self, node: yaml.Node | None) -> dict[str, yaml.Node]:
        pairs = self.pairs(node, "this")
        if node is not None:
            self.unique(node, [self.text(key) for key, _ in pairs], "name")
        return {self.text(key): value for key, value in pairs}

    def pairs(self, node: yaml.Node | None, what: str) -> list[tuple[yaml.Node, yaml.Node]]:
        if node is None:
            return []
        if not isinstance(node, yaml.MappingNode):
            self.fail(node, f"{what} must be a mapping, {{name: value}}")
        return list(node.value)

    def items(self, node: yaml.Node | None) -> list[yaml.Node]:
        if node is None:
            return []
        if not isinstance(node, yaml.SequenceNode):
            self.fail(node, "this must be a list")
        return list(node.value)

    def plain(self, node: yaml.Node) -> Any:
        return yaml.constructor.SafeConstructor().construct_object(node, deep=True)

    def text(self, node: yaml.Node) -> str:
        value = self.plain(node)
        if not isinstance(value, str) or not value:
            self.fail(node, f"this must be a name, not {value!r}")
        return value

    def flag(self, node: yaml.Node | None) -> bool:
        if node is None:
            return False
        value = self.plain(node)
        if not isinstance(value, bool):
            self.fail(node, f"this must be true or false, not {value!r}")
        return value

    def json(self, node: yaml.Node) -> str:
        return json.dumps(self.plain(node), ensure_ascii=False, separators=(",", ":"))

    def values(self, node: yaml.Node) -> tuple[Scalar, ...]:
        value = self.plain(node)
        values = tuple(value) if isinstance(value, list) else (value,)
        for item in values:
            if not (item is None or isinstance(item, (str, int, bool))):
                self.fail(node, f"a condition compares with a text, an integer, true, false or null, not {item!r}")
        return values


def _read_schema(path: Path) -> dict[str, dict[str, str]]:
    """Read the reference schema, a TSV with the columns `table`, `column`, `type` if known: what a tree may name."""
    tables: dict[str, dict[str, str]] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader((line for line in file if not line.startswith("#")), delimiter="\t"):
                tables.setdefault(row["table"], {})[row["column"]] = row.get("type") or ""
    except (OSError, KeyError) as error:
        raise TreeError(f"{path}: not a readable schema (a TSV with the columns table and column): {error}") from error
    return tables
