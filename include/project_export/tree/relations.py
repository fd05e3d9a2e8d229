"""Relations of a tree file: a table, the keys of its records, and the relations nested in them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import yaml

from project_export.tree.changes import changing
from project_export.tree.content import Content
from project_export.tree.files import Files
from project_export.tree.forms import Beside, Condition, Key, Order, Scalar
from project_export.tree.model import KINDS, Also, Relation
from project_export.tree.names import Rows
from project_export.tree.nodes import Fields
from project_export.tree.versions import dated

CONTENT = {"table", "order", "key", "keys", "beside", "derived", "children", "since", "until", "changed"}
"""Attributes of a shape."""
_PLACE = {"relation", "like", "override", "one", "join", "where", "either", "also", "successor", "constant"}
_RELATION = CONTENT | _PLACE | {"default", "instead", "title", "activity", "kind", "content", "merge"}
_ALSO = {"join", "where", "either", "unless", "each", "best", "editions"}
_BEST = {"by", "raised"}
_SUCCESSOR = (CONTENT - {"key", "since", "until"}) | {"join", "where"}

_FILE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}")
_MOST_DEPTH = 32


class Relations(Files):
    """Reads relations. shapes: those of the file, by name."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.shapes: dict[str, Fields] = {}

    def relation(self, node: yaml.Node, parents: tuple[Relation, ...]) -> Relation:
        """Return a relation with its nested ones. parents: the relations above it, the root first."""
        fields = self.fields(node, _RELATION, "a relation", required=("relation",))
        name = self.text(fields["relation"])
        for word in ("title", "activity"):
            if parents and word in fields:
                article = "an" if word == "activity" else "a"
                self.fail(fields[word], f"relation {name} has {article} {word}, which only the root can have")
        if len(parents) > _MOST_DEPTH:
            self.fail(node, f"relation {name} is nested more than {_MOST_DEPTH} deep; does a shape contain itself?")
        if len(parents) < 2 and not _FILE_NAME.fullmatch(name):
            self.fail(
                node, f"relation {name!r} names a file: use letters, digits, '_', '-' and '.', and no '.' at the start"
            )
        if "constant" in fields:
            return self._constant(node, fields, parents)
        return self._content(node, fields, parents)

    def _content(self, node: yaml.Node, fields: Fields, parents: tuple[Relation, ...]) -> Relation:
        """Return a relation that has a table."""
        name = self.text(fields["relation"])
        line = node.start_mark.line + 1
        if "like" in fields:
            shape = self.choose(fields["like"], self.shapes, "shape")
            fields = {**self.shapes[shape], **fields}
        if "table" not in fields:
            self.fail(node, f"relation {name} has no table; give table, like or constant")
        if parents and not self.pairs(fields.get("join"), "join"):
            self.fail(node, f"relation {name} has no join to {parents[-1].name}")
        if not parents and "join" in fields:
            self.fail(fields["join"], f"{name} is the root, which has no join")
        if "kind" in fields and len(parents) != 1:
            self.fail(fields["kind"], f"relation {name} has a kind, which only a top-level relation can have")
        table = self.known_table(fields["table"])
        one = self.flag(fields.get("one"))
        order = tuple(self.order(item, table) for item in self.items(fields.get("order"), "order"))
        if parents and not order and not one:
            order = (Order(self.column(node, table, "id")),)
        own_key = tuple(self.column(item, table) for item in self.items(fields.get("key"), "key")) or ("id",)
        if not parents and len(own_key) > 1:
            self.fail(fields["key"], f"{name} is the root, whose key is one column")
        rows = self._rows(fields, table, parents)
        derived = tuple(
            (link, self.derived(link, value, rows))
            for link, value in self.mapping(fields.get("derived"), "derived").items()
        )
        key_nodes = self._key_nodes(fields)
        keys = tuple(self.key(item, rows) for item in key_nodes)
        kind = self.choose(fields["kind"], dict.fromkeys(KINDS), "kind") if "kind" in fields else KINDS[0]
        relation = Relation(
            name=name,
            table=table,
            one=one,
            join=self._joins(fields, table, parents[-1]) if parents else (),
            where=self.conditions(fields.get("where"), rows),
            either=self._either(fields, rows),
            order=order,
            key=own_key,
            keys=keys,
            beside=tuple(rows.beside.values()),
            derived=derived,
            also=self._also(fields, table, parents),
            successor=self._successor(fields, name, one, parents),
            default=self._default(fields, keys, one and len(parents) > 1),
            instead=self._instead(fields, one and len(parents) > 1),
            kind=kind,
            content=self._content_of(node, kind, fields, keys),
            line=line,
        )
        child_nodes = self.items(fields.get("children"), "children")
        children = tuple(self.relation(child, (*parents, relation)) for child in child_nodes)
        names = [*(key.name for key in keys), *(child.name for child in children)]
        self.unique(zip(names, (*key_nodes, *child_nodes), strict=True), "key")
        relation = replace(relation, children=children)
        relation = changing(self, relation, self.mapping(node, "a relation"), fields, parents)
        return dated(self, relation, fields) if parents else relation

    def _content_of(self, node: yaml.Node, kind: str, fields: Fields, keys: tuple[Key, ...]) -> Content | None:
        """Return where the files or repositories of a relation are, which those of kind `records` do not have."""
        records = kind == KINDS[0]
        if records and "content" in fields:
            self.fail(fields["content"], "a relation of records has no content; give its kind")
        if not records and "content" not in fields:
            self.fail(node, f"a relation of kind {kind} needs content: where its files are, and their names")
        if not records and "children" in fields:
            self.fail(fields["children"], f"a relation of kind {kind} has no nested relations")
        return None if records else self.content(fields["content"], [key.name for key in keys])

    def _rows(self, fields: Fields, table: str, parents: tuple[Relation, ...]) -> Rows:
        """Return what the references of a relation may name."""
        beside: dict[str, Beside] = {}
        rows = Rows(table, beside, root=parents[0] if parents else None)
        for name, node in self.mapping(fields.get("beside"), "beside").items():
            beside[name] = self.beside(name, node, rows)
        return rows

    def _key_nodes(self, fields: Fields) -> list[yaml.Node]:
        """Return the nodes of the keys; those of `override` replace keys of the shape by name, or come last."""
        nodes = {self._key_name(node): node for node in self.items(fields.get("keys"), "keys")}
        self.unique(((self._key_name(node), node) for node in self.items(fields.get("keys"), "keys")), "key")
        nodes.update((self._key_name(node), node) for node in self.items(fields.get("override"), "override"))
        return list(nodes.values())

    def _key_name(self, node: yaml.Node) -> str:
        return self.text(node.value[0][0] if isinstance(node, yaml.MappingNode) and node.value else node)

    def _either(self, fields: Fields, rows: Rows) -> tuple[tuple[Condition, ...], ...]:
        return tuple(self.conditions(item, rows) for item in self.items(fields.get("either"), "either"))

    def _instead(self, fields: Fields, fits: bool) -> tuple[tuple[Scalar, str], ...]:
        """Return the records that are exported for some values of the join column."""
        if "instead" not in fields:
            return ()
        if not fits or len(self.pairs(fields.get("join"), "join")) != 1:
            self.fail(fields["instead"], "instead is for a nested relation of one with a single join column")
        pairs = self.pairs(fields["instead"], "instead")
        return tuple((self.scalars(value)[0], self.json(record)) for value, record in pairs)

    def _joins(self, fields: Fields, table: str, parent: Relation) -> tuple[tuple[str, str], ...]:
        pairs = self.pairs(fields.get("join"), "join")
        return tuple((self.column(own, table), self.link(other, parent)) for own, other in pairs)

    def _also(self, fields: Fields, table: str, parents: tuple[Relation, ...]) -> tuple[Also, ...]:
        nodes = self.items(fields.get("also"), "also")
        if nodes and (len(parents) != 1 or self.flag(fields.get("one"))):
            self.fail(fields["also"], "also is for a top-level relation of many")
        rows = Rows(table, {}, root=parents[0] if parents else None)
        found = []
        for node in nodes:
            own = self.fields(node, _ALSO, "also", required=("join", "unless", "best"))
            unless = self.column(own["unless"], table)
            each = tuple(self.column(item, table) for item in self.items(own.get("each"), "each")) or (unless,)
            found.append(
                Also(
                    join=self._joins(own, table, parents[-1]),
                    where=self.conditions(own.get("where"), rows),
                    unless=unless,
                    best=tuple(self._best(item, table, parents[-1]) for item in self.items(own["best"], "best")),
                    each=each,
                    either=self._either(own, rows),
                    editions=self.chosen(own.get("editions")),
                )
            )
        return tuple(found)

    def _best(self, node: yaml.Node, table: str, root: Relation) -> Order:
        """Return one column of the order by which a row is chosen; `raised` adds one to it in some rows."""
        if isinstance(node, yaml.ScalarNode):
            return self.order(node, table)
        fields = self.fields(node, _BEST, "best", required=("by", "raised"))
        pairs = self.pairs(fields["raised"], "raised")
        raised = tuple((self.column(own, table), self.column(other, root.table)) for own, other in pairs)
        return replace(self.order(fields["by"], table), raised=raised)

    def _successor(self, fields: Fields, name: str, one: bool, parents: tuple[Relation, ...]) -> Relation | None:
        node = fields.get("successor")
        if node is None:
            return None
        if len(parents) < 2:
            self.fail(node, f"relation {name} has a successor, which only a nested relation can have")
        self.fields(node, _SUCCESSOR, f"the successor of {name}", required=("table", "join"))
        named = yaml.ScalarNode("tag:yaml.org,2002:str", name, node.start_mark, node.end_mark)
        content = {"relation": named, **self.mapping(node, "successor")}
        return replace(self._content(node, content, parents), one=one)

    def _default(self, fields: Fields, keys: tuple[Key, ...], fits: bool) -> tuple[tuple[str, str], ...] | None:
        """Return what is exported if there is no row."""
        if "default" not in fields:
            return None
        if not fits:
            self.fail(fields["default"], "default is for a nested relation of one")
        names = {key.name: key for key in keys}
        pairs = self.pairs(fields["default"], "default")
        return tuple((self.choose(key, names, "key"), self.json(value)) for key, value in pairs)

    def _constant(self, node: yaml.Node, fields: Fields, parents: tuple[Relation, ...]) -> Relation:
        name = self.text(fields["relation"])
        if len(parents) != 1:
            self.fail(node, f"relation {name} is constant, which only a top-level relation can be")
        for other in fields.keys() - {"relation", "one", "constant"}:
            self.fail(node, f"relation {name} is constant, so {other} has no effect")
        one, constant = self.flag(fields.get("one")), self.json(fields["constant"])
        return Relation(name, one=one, constant=constant, line=node.start_mark.line + 1)

    def chosen(self, node: yaml.Node | None) -> tuple[str, ...]:
        """Return names of editions."""
        named = self.items(node, "editions")
        return tuple(name for name, item in ((self.text(item), item) for item in named) if self.edition(name, item))
