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
          - text: {blank: true, default: ""}                         # white space alone counts as NULL
          - edited_at: {else: updated_at}                            # the first that is not NULL
          - newest: {from: notes, match: {issue_id: id}, where: {hidden: false}, order: [id desc], column: text}
          - notes: {from: notes, match: {issue_id: id}, count: true}
          - squash: {column: settings.squash, absent: never}         # of a row beside; `absent` where it is not there
          - title: {of: meta}                                        # meta.title where that row is there, else title
          - position: {cases: [{when: {type: DiffNote}, transform: yaml}]}
          - weight: {editions: {paid: {constant: null}}}
          - kind: {column: kind_id, enum: kind, layouts: [{from: kinds, match: {id: kind_id}, column: name}]}
          - branch: {constant: null, why: comes from the Git repository}
          - group_id: {why: a label of a project has no group}       # no value is expected here
          - colour: {last: true}                                     # comes after the nested relations
        beside:                                                      # rows that belong to a row, at most one each
          settings: {from: settings, match: {project_id: root.id}}
          meta: {from: metas, match: {issue_id: id}, order: [id desc]}
        since: {17.10..18.9: [squash]}                               # came after 17.10, in 18.9 at the latest
        until: {13.5..15.5: [id]}                                    # what the application left then, and does no more
        children:
          - {relation: author, like: author, one: true, join: {id: author_id}}
          - {relation: meta, table: metas, one: true, join: {issue_id: id}, keys: [size], default: {size: 0}}
    optional:                                # by parent: relations that are there where their tables are
      issues:
        - {relation: sprint, table: sprints, one: true, join: {id: sprint_id}, keys: [title]}
        - {relation: epic, like: epic, one: true, join: {id: epic_id}, with: [licenses]}     # and this table is
    uncovered:                               # what the application exports and this file does not, and why
      issues.links: nobody has needed them
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import yaml

from project_export.errors import TreeError, nearest
from project_export.tree.forms import Beside, Condition, Key, Order, Scalar
from project_export.tree.keys import Keys
from project_export.tree.model import KINDS, Also, Option, Relation, Span, Tree
from project_export.tree.names import Rows, read_schema
from project_export.tree.nodes import Fields
from project_export.tree.versions import dated, since, spans, until

SHIPPED = Path(__file__).parent.parent / "trees"

_FILE = {
    "name", "schema", "evidence", "editions", "column_since", "column_until", "enums", "shapes", "root", "relations",
    "optional", "uncovered",
}  # fmt: skip
_CONTENT = {"table", "order", "key", "keys", "beside", "derived", "children", "since", "until"}
_PLACE = {"relation", "like", "override", "one", "join", "where", "either", "also", "successor", "constant", "kind"}
_RELATION = _CONTENT | _PLACE | {"default", "instead", "title"}
_ALSO = {"join", "where", "either", "unless", "each", "best", "editions"}
_BEST = {"by", "raised"}
_SUCCESSOR = (_CONTENT - {"key", "since", "until"}) | {"join", "where"}

_FILE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}")
_MOST_DEPTH = 32


def load(name: str, edition: str = "") -> Tree:
    """Read a tree: the name of a shipped one ("gitlab") or the path of a YAML file.

    edition: one of those that the file tells apart, the first when empty. Raises TreeError.
    """
    return _of(*_text(name), edition)


def load_all(name: str) -> Tree:
    """Read a tree with what each edition has, before one is chosen. Raises TreeError."""
    return _all(*_text(name))


def _text(name: str) -> tuple[Path, str]:
    path = SHIPPED / f"{name}.yaml" if name.isidentifier() else Path(name)
    try:
        return path, path.read_text(encoding="utf-8")
    except OSError as error:
        shipped = [file.stem for file in SHIPPED.glob("*.yaml")]
        raise TreeError(f"{path}: {error.strerror}; give a path or a shipped tree, {nearest(name, shipped)}") from error
    except UnicodeDecodeError as error:
        raise TreeError(f"{path}: not UTF-8, as a tree must be: {error}") from error


@lru_cache(maxsize=8)
def _all(path: Path, text: str) -> Tree:
    return _Reader(path).tree(text)


@lru_cache(maxsize=8)
def _of(path: Path, text: str, edition: str) -> Tree:
    tree = _all(path, text)
    if edition and edition not in tree.editions:
        known = nearest(edition, tree.editions) if tree.editions else "it tells none apart"
        raise TreeError(f"{tree.file}: the tree has no edition {edition}; {known}")
    return tree.of(edition or next(iter(tree.editions), ""))


class _Reader(Keys):
    """Reads one file; holds the shapes to which relations refer."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.shapes: dict[str, Fields] = {}

    def tree(self, text: str) -> Tree:
        fields = self.fields(self.document(text), _FILE, "the tree", required=("name", "root", "relations"))
        if "schema" in fields:
            files = fields["schema"]
            for file in [files] if isinstance(files, yaml.ScalarNode) else self.items(files, "schema"):
                for table, columns in read_schema(self.path.parent / self.text(file)).items():
                    self.known[table] = {**self.known.get(table, {}), **columns}
        self.editions = tuple(self.text(item) for item in self.items(fields.get("editions"), "editions"))
        for name, node in self.mapping(fields.get("enums"), "enums").items():
            self.enums[name] = self.enum(name, node)
        for name, node in self.mapping(fields.get("shapes"), "shapes").items():
            self.shapes[name] = self.fields(node, _CONTENT, f"shape {name}")
        root = self.relation(fields["root"], ())
        nodes = self.items(fields["relations"], "relations")
        relations = tuple(self.relation(node, (root,)) for node in nodes)
        named = [(relation.name, node) for relation, node in zip(relations, nodes, strict=True)]
        self.unique([(root.name, fields["root"]), *named], "relation")
        tree = Tree(
            name=self.text(fields["name"]),
            file=str(self.path),
            root=root,
            relations=relations,
            known=self.known,
            title=self.title(self.mapping(fields["root"], "the root").get("title"), Rows(root.table, {})),
            editions=self.editions,
            column_since=self.dates(fields, "column_since", since),
            column_until=self.dates(fields, "column_until", until),
        )
        tree = replace(tree, optional=tuple(self.options(fields.get("optional"), tree)))
        tree = replace(tree, uncovered=tuple(self.uncovered(fields.get("uncovered"), tree.extended())))
        if "evidence" in fields:
            tree = replace(tree, evidence=str(self.path.parent / self.text(fields["evidence"])))
        tops = tree.extended().relations
        return replace(tree, root=dated(self, root, self.mapping(fields["root"], "the root"), tops))

    def dates(self, fields: Fields, attribute: str, read: Callable[[str], Span]) -> dict[str, Span]:
        """Return when tables and columns of the reference schema came or went."""
        found = {}
        for name, span, item in spans(self, attribute, fields.get(attribute), read):
            table, _, column = name.partition(".")
            if self.known and table not in self.known:
                self.fail(item, f"{attribute}: table {table} is unknown; {nearest(table, self.known)}")
            if self.known and column and column not in self.known[table]:
                self.fail(item, f"{attribute}: {table} has no column {column}; {nearest(column, self.known[table])}")
            found[name] = span
        return found

    def options(self, node: yaml.Node | None, tree: Tree) -> Iterator[Option]:
        """Yield the optional relations: lists of them by the dotted path of their parent, or the root's name."""
        chains: dict[str, tuple[Relation, ...]] = {tree.root.name: (tree.root,)}
        for path, relation in tree.walk():
            above = chains[path.rpartition(".")[0] or tree.root.name]
            chains.setdefault(path, (*above, relation))
        for key, items in self.pairs(node, "optional"):
            parents = chains[self.choose(key, chains, "relation")]
            names = {key.name for key in parents[-1].keys} | {child.name for child in parents[-1].children}
            taken = set(tree.names) if len(parents) == 1 else names
            for item in self.items(items, "optional"):
                own = [pair for pair in self.pairs(item, "a relation") if pair[0].value not in ("with", "editions")]
                relation = self.relation(yaml.MappingNode(item.tag, own, item.start_mark, item.end_mark), parents)
                if relation.name in taken:
                    self.fail(item, f"optional: {parents[-1].name} already has {relation.name}")
                taken.add(relation.name)
                more = self.mapping(item, "a relation")
                needs = [self.known_table(table) for table in self.items(more.get("with"), "with")] or [relation.table]
                editions = self.chosen(more.get("editions"))
                yield Option(self.text(key), replace(relation, optional=True), frozenset(needs), editions)

    def chosen(self, node: yaml.Node | None) -> tuple[str, ...]:
        """Return names of editions."""
        named = self.items(node, "editions")
        return tuple(name for name, item in ((self.text(item), item) for item in named) if self.edition(name, item))

    def uncovered(self, node: yaml.Node | None, tree: Tree) -> Iterator[tuple[str, str]]:
        """Yield the paths of what the tree does not cover, with the reasons."""
        there = {path for path, _ in tree.walk()}
        there |= {f"{path}.{key.name}" for path, relation in tree.walk() for key in relation.keys}
        for key, reason in self.pairs(node, "uncovered"):
            if self.text(key) in there:
                self.fail(key, f"uncovered: the tree has {self.text(key)}")
            yield self.text(key), self.text(reason)

    def relation(self, node: yaml.Node, parents: tuple[Relation, ...]) -> Relation:
        fields = self.fields(node, _RELATION, "a relation", required=("relation",))
        name = self.text(fields["relation"])
        if parents and "title" in fields:
            self.fail(fields["title"], f"relation {name} is not the root, which alone has a title")
        if len(parents) > _MOST_DEPTH:
            self.fail(node, f"relation {name} is nested too deep: more than {_MOST_DEPTH}; does a shape hold itself?")
        if len(parents) < 2 and not _FILE_NAME.fullmatch(name):
            self.fail(node, f"relation {name!r} names a file: use letters, digits, '_', '-' and '.', no '.' in front")
        if "constant" in fields:
            return self.constant(node, fields, parents)
        return self.content(node, fields, parents)

    def content(self, node: yaml.Node, fields: Fields, parents: tuple[Relation, ...]) -> Relation:
        """Read a relation that has rows."""
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
            self.fail(fields["join"], f"{name} is the root, which joins nothing")
        if "kind" in fields and len(parents) != 1:
            self.fail(fields["kind"], f"relation {name} is not at the top level, where alone a relation has a kind")
        table = self.known_table(fields["table"])
        one = self.flag(fields.get("one"))
        order = tuple(self.order(item, table) for item in self.items(fields.get("order"), "order"))
        if parents and not order and not one:
            order = (Order(self.column(node, table, "id")),)
        own_key = tuple(self.column(item, table) for item in self.items(fields.get("key"), "key")) or ("id",)
        if not parents and len(own_key) > 1:
            self.fail(fields["key"], f"{name} is the root, which is found by one column")
        rows = self.rows(fields, table, parents)
        derived = tuple(
            (link, self.derived(link, value, rows))
            for link, value in self.mapping(fields.get("derived"), "derived").items()
        )
        key_nodes = self.key_nodes(fields)
        keys = tuple(self.key(item, rows) for item in key_nodes)
        relation = Relation(
            name=name,
            table=table,
            one=one,
            join=self.joins(fields, table, parents[-1]) if parents else (),
            where=self.conditions(fields.get("where"), rows),
            either=self.either(fields, rows),
            order=order,
            key=own_key,
            keys=keys,
            beside=tuple(rows.beside.values()),
            derived=derived,
            also=self.also(fields, table, parents),
            successor=self.successor(fields, name, one, parents),
            default=self.default(fields, keys, one and len(parents) > 1),
            instead=self.instead(fields, one and len(parents) > 1),
            kind=self.choose(fields["kind"], dict.fromkeys(KINDS), "kind") if "kind" in fields else KINDS[0],
            line=line,
        )
        child_nodes = self.items(fields.get("children"), "children")
        children = tuple(self.relation(child, (*parents, relation)) for child in child_nodes)
        names = [*(key.name for key in keys), *(child.name for child in children)]
        self.unique(zip(names, (*key_nodes, *child_nodes), strict=True), "key")
        relation = replace(relation, children=children)
        return dated(self, relation, fields) if parents else relation

    def rows(self, fields: Fields, table: str, parents: tuple[Relation, ...]) -> Rows:
        """Return what references of a relation may name."""
        beside: dict[str, Beside] = {}
        rows = Rows(table, beside, root=parents[0] if parents else None)
        for name, node in self.mapping(fields.get("beside"), "beside").items():
            beside[name] = self.beside(name, node, rows)
        return rows

    def key_nodes(self, fields: Fields) -> list[yaml.Node]:
        """Return the nodes of the keys; those of `override` stand for the shape's of the same name, or come last."""
        nodes = {self.key_name(node): node for node in self.items(fields.get("keys"), "keys")}
        self.unique(((self.key_name(node), node) for node in self.items(fields.get("keys"), "keys")), "key")
        nodes.update((self.key_name(node), node) for node in self.items(fields.get("override"), "override"))
        return list(nodes.values())

    def key_name(self, node: yaml.Node) -> str:
        return self.text(node.value[0][0] if isinstance(node, yaml.MappingNode) and node.value else node)

    def either(self, fields: Fields, rows: Rows) -> tuple[tuple[Condition, ...], ...]:
        return tuple(self.conditions(item, rows) for item in self.items(fields.get("either"), "either"))

    def instead(self, fields: Fields, fits: bool) -> tuple[tuple[Scalar, str], ...]:
        """Return what is exported for some values of the column that joins."""
        if "instead" not in fields:
            return ()
        if not fits or len(self.pairs(fields.get("join"), "join")) != 1:
            self.fail(fields["instead"], "only a nested relation of one that joins by one column has something instead")
        pairs = self.pairs(fields["instead"], "instead")
        return tuple((self.scalars(value)[0], self.json(record)) for value, record in pairs)

    def joins(self, fields: Fields, table: str, parent: Relation) -> tuple[tuple[str, str], ...]:
        pairs = self.pairs(fields.get("join"), "join")
        return tuple((self.column(own, table), self.link(other, parent)) for own, other in pairs)

    def also(self, fields: Fields, table: str, parents: tuple[Relation, ...]) -> tuple[Also, ...]:
        nodes = self.items(fields.get("also"), "also")
        if nodes and (len(parents) != 1 or self.flag(fields.get("one"))):
            self.fail(fields["also"], "only a top-level relation of many can have rows in addition")
        rows = Rows(table, {}, root=parents[0] if parents else None)
        found = []
        for node in nodes:
            own = self.fields(node, _ALSO, "also", required=("join", "unless", "best"))
            unless = self.column(own["unless"], table)
            each = tuple(self.column(item, table) for item in self.items(own.get("each"), "each")) or (unless,)
            found.append(
                Also(
                    join=self.joins(own, table, parents[-1]),
                    where=self.conditions(own.get("where"), rows),
                    unless=unless,
                    best=tuple(self.best(item, table, parents[-1]) for item in self.items(own["best"], "best")),
                    each=each,
                    either=self.either(own, rows),
                    editions=self.chosen(own.get("editions")),
                )
            )
        return tuple(found)

    def best(self, node: yaml.Node, table: str, root: Relation) -> Order:
        """Return one column of the order by which a row is chosen, which some rows may have one more of."""
        if isinstance(node, yaml.ScalarNode):
            return self.order(node, table)
        fields = self.fields(node, _BEST, "best", required=("by", "raised"))
        pairs = self.pairs(fields["raised"], "raised")
        raised = tuple((self.column(own, table), self.column(other, root.table)) for own, other in pairs)
        return replace(self.order(fields["by"], table), raised=raised)

    def successor(self, fields: Fields, name: str, one: bool, parents: tuple[Relation, ...]) -> Relation | None:
        node = fields.get("successor")
        if node is None:
            return None
        if len(parents) < 2:
            self.fail(node, f"relation {name}: only a nested relation can have a successor")
        self.fields(node, _SUCCESSOR, f"the successor of {name}", required=("table", "join"))
        named = yaml.ScalarNode("tag:yaml.org,2002:str", name, node.start_mark, node.end_mark)
        content = {"relation": named, **self.mapping(node, "successor")}
        return replace(self.content(node, content, parents), one=one)

    def default(self, fields: Fields, keys: tuple[Key, ...], fits: bool) -> tuple[tuple[str, str], ...] | None:
        """Return what leaves without a row."""
        if "default" not in fields:
            return None
        if not fits:
            self.fail(fields["default"], "only a nested relation of one leaves something without a row")
        names = {key.name: key for key in keys}
        pairs = self.pairs(fields["default"], "default")
        return tuple((self.choose(key, names, "key"), self.json(value)) for key, value in pairs)

    def constant(self, node: yaml.Node, fields: Fields, parents: tuple[Relation, ...]) -> Relation:
        name = self.text(fields["relation"])
        if len(parents) != 1:
            self.fail(node, f"relation {name} is neither the root nor nested, since it is constant")
        for other in fields.keys() - {"relation", "one", "constant"}:
            self.fail(node, f"relation {name} is constant, so {other} says nothing")
        one, constant = self.flag(fields.get("one")), self.json(fields["constant"])
        return Relation(name, one=one, constant=constant, line=node.start_mark.line + 1)
