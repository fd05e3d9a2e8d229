"""Keys and derived values of a tree file: where a value comes from and how it is converted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from string import Formatter

import yaml

from project_export.tree.content import Location
from project_export.tree.forms import Activity, Beside, Climb, Derived, Elsewhere, Form, Key, Lookup, Ref, Source, Tip
from project_export.tree.names import Names, Rows
from project_export.tree.nodes import Fields
from project_export.tree.parameters import Parameter
from project_export.tree.transforms import TRANSFORMS

_ROW = {"from", "match", "where", "order"}
_LOOKUP = _ROW | {"column", "count"}
_TITLE = _ROW | {"column"}
_FORM = _LOOKUP | {"else", "of", "enum", "trim", "transform", "when", "default", "absent", "blank", "constant"}
_KEY = _FORM | {"cases", "elsewhere", "tip", "head", "wrap", "parameter", "last", "why", "editions", "layouts"}
_CLIMB = {"climb", "start", "key", "parent", "path", "where"}
_TIP = {"of", "branch", "same"}
_ELSEWHERE = {"location", "offset", "size", "from", "match", "file", "when"}
_NEEDS = {"match": "from", "where": "from", "order": "from", "count": "from", "when": "transform"}
_VALUE = _FORM - {"constant"}
_EXCLUDES = {
    "constant": _VALUE | {"elsewhere", "parameter"},
    "transform": {"enum"},
    "blank": {"enum"},
    "count": {"column"},
    "of": {"from"},
}


class Keys(Names):
    """Reads keys.

    editions: the application's editions that the file distinguishes. parameters, locations: those
    that the file declares, by name. replaced_by: the names of parameters that keys use. repositories: names of
    relations of bundles.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.editions: tuple[str, ...] = ()
        self.parameters: dict[str, Parameter] = {}
        self.locations: dict[str, Location] = {}
        self.replaced_by: set[str] = set()
        self.repositories: list[yaml.Node] = []

    def key(self, node: yaml.Node, rows: Rows) -> Key:
        """Return a key of a relation."""
        line = node.start_mark.line + 1
        if isinstance(node, yaml.ScalarNode):
            ref = self.ref(node, rows)
            return Key(self.name(node), Form((ref,)), line=line)
        pairs = self.pairs(node, "a key")
        if len(pairs) != 1:
            self.fail(node, "a key is a name, or one name with its description: {name: {column: ...}}")
        name, body = self.name(pairs[0][0]), pairs[0][1]
        fields = self.fields(body, _KEY, f"key {name}")
        key = self.described(name, body, fields, rows, line)
        more = {"editions", "layouts"}
        common = {field: value for field, value in fields.items() if field not in more}
        variants = self.mapping(fields.get("editions"), "editions")
        editions = tuple(
            (edition, self.variant(name, node, common, rows, line))
            for edition, node in variants.items()
            if self.edition(edition, node)
        )
        layouts = tuple(
            self.layout(name, node, common, rows, line) for node in self.items(fields.get("layouts"), "layouts")
        )
        return replace(key, editions=editions, layouts=layouts)

    def layout(self, name: str, node: yaml.Node, common: Fields, rows: Rows, line: int) -> Key:
        """Return the key for a layout; `without` names tables that this layout does not have."""
        pairs = [pair for pair in self.pairs(node, "a layout") if pair[0].value != "without"]
        without = self.mapping(node, "a layout").get("without")
        own = yaml.MappingNode(node.tag, pairs, node.start_mark, node.end_mark)
        tables = tuple(self.known_table(item) for item in self.items(without, "without"))
        return replace(self.variant(name, own, common, rows, line), without=tables)

    def variant(self, name: str, node: yaml.Node, common: Fields, rows: Rows, line: int) -> Key:
        """Return the key for one edition or layout, whose attributes replace the common ones."""
        own = self.fields(node, _KEY - {"editions", "layouts"}, f"key {name}")
        kept = common if "constant" not in own else {field: common[field] for field in common.keys() & {"last", "wrap"}}
        if own.keys() & (_LOOKUP | {"of"}):
            kept = {field: value for field, value in kept.items() if field not in _LOOKUP | {"of", "else", "enum"}}
        return self.described(name, node, {**kept, **own}, rows, line)

    def edition(self, name: str, node: yaml.Node) -> bool:
        """Return true; raise TreeError for an edition that the file does not name."""
        if name not in self.editions:
            self.fail(node, f"edition {name} is unknown; the tree names {', '.join(self.editions) or 'none'}")
        return True

    def described(self, name: str, node: yaml.Node, fields: Fields, rows: Rows, line: int) -> Key:
        """Return a key from its attributes."""
        for other in sorted(_EXCLUDES["constant"] & fields.keys() - _FORM) if "constant" in fields else ():
            self.fail(node, f"key {name}: constant and {other} exclude each other")
        cases = []
        for item in self.items(fields.get("cases"), f"cases of {name}"):
            own = self.fields(item, _FORM, f"a case of {name}", required=("when",))
            when = self.conditions(own["when"], rows)
            kept = {field: value for field, value in own.items() if field != "when"}
            cases.append((when, self.form(name, item, kept, rows)))
        return Key(
            name=name,
            form=self.form(name, node, {field: fields[field] for field in fields.keys() & _FORM}, rows),
            cases=tuple(cases),
            elsewhere=self.elsewhere(fields["elsewhere"], rows.table) if "elsewhere" in fields else None,
            tip=self.tip(fields["tip"], rows) if "tip" in fields else None,
            head=self.bundled(fields["head"]) if "head" in fields else None,
            wrap=self.name(fields["wrap"]) if "wrap" in fields else None,
            parameter=self.named_parameter(fields["parameter"]) if "parameter" in fields else None,
            last=self.flag(fields.get("last")),
            why=self.text(fields["why"]) if "why" in fields else None,
            line=line,
        )

    def tip(self, node: yaml.Node, rows: Rows) -> Tip:
        """Return the branch whose last commit replaces NULL."""
        fields = self.fields(node, _TIP, "tip", required=("of", "branch"))
        same = tuple(self.ref(item, rows) for item in self.items(fields.get("same"), "same"))
        return Tip(self.bundled(fields["of"]), self.ref(fields["branch"], rows), same)

    def bundled(self, node: yaml.Node) -> str:
        """Return the name of a relation of bundles; whether there is one is checked at the end of the file."""
        self.repositories.append(node)
        return self.text(node)

    def named_parameter(self, node: yaml.Node) -> str:
        """Return the name of a parameter that the file declares."""
        if not self.parameters:
            self.fail(node, f"parameter {self.text(node)} is unknown; the tree declares none")
        name = self.choose(node, self.parameters, "parameter")
        self.replaced_by.add(name)
        return name

    def form(self, name: str, node: yaml.Node, fields: Fields, rows: Rows) -> Form:
        """Return where a value comes from and how it is converted; `name` is the column if none is given."""
        what = f"key {name}"
        for attribute in fields:
            if attribute in _NEEDS and _NEEDS[attribute] not in fields:
                self.fail(node, f"{what}: {attribute} has no effect without {_NEEDS[attribute]}")
            for other in sorted(_EXCLUDES.get(attribute, set()) & fields.keys()):
                self.fail(node, f"{what}: {attribute} and {other} exclude each other")
        if "constant" in fields:
            return Form(constant=self.json(fields["constant"]))
        of = None
        if "of" in fields:
            of = self.beside_ref(fields["of"], fields.get("column", node), rows, None if "column" in fields else name)
        sources: list[Source] = []
        if "from" in fields:
            sources.append(self.lookup(name, node, fields, rows))
        elif of is None or "column" in fields or self.has_column(rows, name):
            sources += self.own(name, node, fields, rows, optional=of is not None)
        others = fields.get("else")
        if others is not None:
            listed = self.items(others, "else") if isinstance(others, yaml.SequenceNode) else [others]
            sources += [self.source(name, other, rows) for other in listed]
        transform = self.choose(fields["transform"], TRANSFORMS, "transform") if "transform" in fields else None
        return Form(
            sources=tuple(sources),
            of=of,
            enum=self.enums[self.choose(fields["enum"], self.enums, "enum")] if "enum" in fields else None,
            trim=self.flag(fields.get("trim")),
            transform=transform,
            when=self.whenever(fields["when"], rows) if "when" in fields else (),
            default=self.json(fields["default"]) if "default" in fields else None,
            absent=self.json(fields["absent"]) if "absent" in fields else None,
            blank=self.flag(fields.get("blank")),
        )

    def own(self, name: str, node: yaml.Node, fields: Fields, rows: Rows, *, optional: bool) -> list[Source]:
        """Return the column that a form reads: of the row itself, or of a row beside it."""
        named = fields.get("column", node)
        text = None if "column" in fields else name
        if optional and not self.has_column(rows, text or self.text(named)):
            return []
        return [self.ref(named, rows, text)]

    def source(self, name: str, node: yaml.Node, rows: Rows) -> Source:
        """Return what replaces NULL: a column or a lookup."""
        if isinstance(node, yaml.ScalarNode):
            return self.ref(node, rows)
        return self.lookup(name, node, self.fields(node, _LOOKUP, f"lookup {name}", required=("from", "match")), rows)

    def lookup(self, name: str, node: yaml.Node, fields: Fields, rows: Rows) -> Lookup:
        """Return a lookup; `name` is the column if none is given."""
        if "match" not in fields:
            self.fail(node, f"lookup {name} lacks the attribute match")
        row = self.row(name, node, {field: fields[field] for field in fields.keys() & _ROW}, rows)
        if self.flag(fields.get("count")):
            return Lookup(row, None)
        there = Rows(row.table, {}, root=rows.root)
        column = fields.get("column")
        if isinstance(column, yaml.MappingNode):
            return Lookup(row, self.source(name, column, there))
        return Lookup(row, Ref(self.column(column or node, row.table, None if column else name)))

    def title(self, node: yaml.Node | None, rows: Rows) -> Lookup | None:
        """Return the lookup of the root's title."""
        if node is None:
            return None
        return self.lookup("title", node, self.fields(node, _TITLE, "the title", required=("from", "column")), rows)

    def activity(self, node: yaml.Node | None, table: str) -> Activity | None:
        """Return what shows that somebody has worked on the root."""
        if node is None:
            return None
        fields = self.fields(node, {"columns", "late_seconds"}, "the activity", required=("columns",))
        columns = tuple(self.column(item, table) for item in self.items(fields["columns"], "columns"))
        late = self.plain(fields["late_seconds"]) if "late_seconds" in fields else 0
        if not columns:
            self.fail(node, "the activity names no column")
        if not isinstance(late, int) or isinstance(late, bool) or late < 0:
            self.fail(fields["late_seconds"], f"late_seconds is a number of seconds; got {late!r}")
        return Activity(columns, late)

    def row(self, name: str, node: yaml.Node, fields: Fields, rows: Rows) -> Beside:
        """Return how to find a row of another table."""
        table = self.known_table(fields["from"])
        match = tuple(
            (self.column(key, table), self.refs(value, rows)) for key, value in self.pairs(fields.get("match"), "match")
        )
        there = Rows(table, {}, root=rows.root)
        where = self.conditions(fields["where"], there) if "where" in fields else ()
        if not match and not where and "match" not in fields:
            self.fail(node, f"lookup {name} needs a match: {{its column: own column}}")
        order = tuple(self.order(item, table) for item in self.items(fields.get("order"), "order"))
        return Beside(table, match, where, order, line=node.start_mark.line + 1)

    def beside(self, name: str, node: yaml.Node, rows: Rows) -> Beside:
        """Return a named row beside."""
        fields = self.fields(node, _ROW | {"optional"}, f"beside {name}", required=("from",))
        if name in rows.beside or (self.known and self.has_column(rows, name)) or "." in name:
            self.fail(node, f"beside {name}: the name is a column's, or used twice, or contains a dot")
        return replace(self.row(name, node, fields, rows), name=name, optional=self.flag(fields.get("optional")))

    def derived(self, name: str, node: yaml.Node, rows: Rows) -> Derived:
        """Return a named value on which relations join."""
        if isinstance(node, yaml.MappingNode) and any(key.value == "climb" for key, _ in node.value):
            fields = self.fields(node, _CLIMB, f"derived {name}", required=("climb", "start", "parent"))
            table = self.known_table(fields["climb"])
            return Climb(
                table=table,
                start=self.column(fields["start"], rows.table),
                key=self.column(fields["key"], table) if "key" in fields else self.column(node, table, "id"),
                parent=self.column(fields["parent"], table),
                path=self.column(fields["path"], table) if "path" in fields else None,
                where=self.conditions(fields["where"], Rows(table, {}, root=rows.root)) if "where" in fields else (),
            )
        fields = self.fields(node, _LOOKUP | {"else", "of"}, f"derived {name}")
        return self.form(name, node, fields, rows)

    def elsewhere(self, node: yaml.Node, own: str) -> Elsewhere:
        """Return where a value is stored outside the database."""
        if isinstance(node, yaml.ScalarNode):
            return Elsewhere(self.column(node, own))
        fields = self.fields(node, _ELSEWHERE, "elsewhere", required=tuple(sorted(_ELSEWHERE - {"when"})))
        table = self.known_table(fields["from"])
        file: list[str] = []
        try:
            for text, name, _, _ in Formatter().parse(self.text(fields["file"])):
                file += [text, self.column(fields["file"], table, name)] if name is not None else [text, ""]
        except ValueError as error:
            self.fail(fields["file"], f"a file's path names columns in braces, {{column}}: {error}")
        return Elsewhere(
            offset=self.column(fields["offset"], own),
            size=self.column(fields["size"], own),
            table=table,
            location=self.choose(fields["location"], self.locations, "location"),
            match=tuple(
                (self.column(key, table), self.column(value, own))
                for key, value in self.pairs(fields["match"], "match")
            ),
            file=tuple(file[:-1] if file[-1] == "" else [*file, ""]),
            when=self.conditions(fields["when"], Rows(table, {})) if "when" in fields else (),
        )
