"""A whole tree file → a Tree: its attributes other than relations, and the checks that need the whole file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import yaml

from project_export.errors import nearest
from project_export.formats import FORMATS, PLAIN
from project_export.tree.model import Option, Relation, Span, Tree
from project_export.tree.names import Rows, read_schema
from project_export.tree.nodes import Fields
from project_export.tree.parameters import AROUND, NAME, RESERVED, TYPES, Parameter
from project_export.tree.relations import CONTENT, Relations
from project_export.tree.versions import dated, since, spans, until

_PARAMETER = {"type", "default", "longest", "title", "description"}
_FILE = {
    "name", "format", "locations", "parameters", "schema", "evidence", "editions", "column_since", "column_until",
    "enums", "shapes", "root", "relations", "optional", "uncovered",
}  # fmt: skip


class File(Relations):
    """Reads one tree file."""

    def tree(self, text: str) -> Tree:
        """Return the tree of a file's text. Raises TreeError."""
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
            self.shapes[name] = self.fields(node, CONTENT, f"shape {name}")
        for name, node in self.mapping(fields.get("locations"), "locations").items():
            self.locations[name] = self.location(name, node)
        for name, node in self.mapping(fields.get("parameters"), "parameters").items():
            self.parameters[name] = self.parameter(name, node)
        root = self.relation(fields["root"], ())
        nodes = self.items(fields["relations"], "relations")
        relations = tuple(self.relation(node, (root,)) for node in nodes)
        named = [(relation.name, node) for relation, node in zip(relations, nodes, strict=True)]
        self.unique([(root.name, fields["root"]), *named], "relation")
        tree = Tree(
            name=self.text(fields["name"]),
            file=str(self.path),
            root=root,
            relations=tuple(relation for relation in relations if relation.content is None),
            files=tuple(relation for relation in relations if relation.content is not None),
            locations=self.locations,
            format=FORMATS[self.choose(fields["format"], FORMATS, "format")] if "format" in fields else PLAIN,
            parameters=self.parameters,
            known=self.known,
            title=self.title(self.mapping(fields["root"], "the root").get("title"), Rows(root.table, {})),
            activity=self.activity(self.mapping(fields["root"], "the root").get("activity"), root.table),
            editions=self.editions,
            column_since=self.dates(fields, "column_since", since),
            column_until=self.dates(fields, "column_until", until),
        )
        tree = replace(tree, optional=tuple(self.options(fields.get("optional"), tree)))
        tree = replace(tree, uncovered=tuple(self.uncovered(fields.get("uncovered"), tree.extended())))
        if "evidence" in fields:
            tree = replace(tree, evidence=str(self.path.parent / self.text(fields["evidence"])))
        bundles = {relation.name: None for relation in tree.files if relation.kind == "bundle" and relation.one}
        for node in self.repositories:
            self.choose(node, bundles, "relation of one bundle")
        for name, node in self.mapping(fields.get("parameters"), "parameters").items():
            if name not in self.replaced_by:
                self.fail(node, f"parameter {name} is not used by any key")
        tops = tree.extended().tops[1:]
        return replace(tree, root=dated(self, root, self.mapping(fields["root"], "the root"), tops))

    def parameter(self, name: str, node: yaml.Node) -> Parameter:
        """Return a parameter of a request."""
        fields = self.fields(node, _PARAMETER, f"parameter {name}", required=("type",))
        taken = (*RESERVED, *AROUND)
        if not NAME.fullmatch(name) or name in taken:
            why = "every request has one" if name in taken else "use a-z, 0-9 and '_', a letter first"
            self.fail(node, f"parameter {name!r} cannot have this name: {why}")
        type = self.choose(fields["type"], TYPES, "type")
        longest = self.plain(fields["longest"]) if "longest" in fields else None
        if longest is not None and (type != "string" or Parameter("", "integer").fault(longest) or longest < 1):
            self.fail(fields["longest"], "longest is a positive number of characters, for strings only")
        texts = {key: self.text(fields[key]) for key in ("title", "description") if key in fields}
        declared = Parameter(name, type, longest=longest, **texts)
        default = self.plain(fields["default"]) if "default" in fields else None
        if default is not None and (fault := declared.fault(default)):
            self.fail(fields["default"], f"default: {fault}")
        return replace(declared, default=default)

    def dates(self, fields: Fields, attribute: str, read: Callable[[str], Span]) -> dict[str, Span]:
        """Return when tables and columns of the reference schema were added or removed."""
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
        """Yield the optional relations, which are listed by the dotted path of their parent or the root's name."""
        chains: dict[str, tuple[Relation, ...]] = {tree.root.name: (tree.root,)}
        for path, relation in tree.walk():
            above = chains[path.rpartition(".")[0] or tree.root.name]
            chains.setdefault(path, (*above, relation))
        for key, items in self.pairs(node, "optional"):
            parents = chains[self.choose(key, chains, "relation")]
            names = {key.name for key in parents[-1].keys} | {child.name for child in parents[-1].children}
            taken = set(tree.exported) if len(parents) == 1 else names
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

    def uncovered(self, node: yaml.Node | None, tree: Tree) -> Iterator[tuple[str, str]]:
        """Yield the paths that the tree does not cover, with the reasons."""
        there = {path for path, _ in tree.walk()}
        there |= {f"{path}.{key.name}" for path, relation in tree.walk() for key in relation.keys}
        for key, reason in self.pairs(node, "uncovered"):
            if self.text(key) in there:
                self.fail(key, f"uncovered: the tree has {self.text(key)}")
            yield self.text(key), self.text(reason)
