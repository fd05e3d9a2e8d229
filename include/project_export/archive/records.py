"""Records against the tree and the importer's models: forms of values, nested records, what would be lost."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from project_export.archive import importer
from project_export.archive.findings import Findings, Version
from project_export.archive.models import Model, Models, models
from project_export.tree import Key, Lookup, Relation, Tree
from project_export.tree import forms as tree_forms
from project_export.tree.transforms import TRANSFORMS

DEEPEST = 32
NUL = b"\\u0000"

# A year before Christ has a minus, as Rails writes it; Ruby's Date._parse, by which the importer reads it, takes it.
_DATE = r"-?\d{4,}-\d\d-\d\d"
_TIME = re.compile(_DATE + r"T\d\d:\d\d:\d\d\.\d{3}(Z|[+-]\d\d:\d\d)")
_OBJECT_ID = re.compile(r"([0-9a-f]{40}|[0-9a-f]{64})?")
_KINDS = {type(None): "null", bool: "a boolean", int: "a number", float: "a number", str: "a text", list: "an array"}


@dataclass(frozen=True)
class Form:
    """What values of a key are: of which JSON types, and as texts of which form. Null is allowed everywhere."""

    what: str
    types: frozenset[type]
    pattern: re.Pattern[str] | None = None

    def fits(self, value: Any) -> bool:
        """Whether a value, which is not null, has this form."""
        if type(value) not in self.types:
            return False
        return self.pattern is None or not isinstance(value, str) or self.pattern.fullmatch(value) is not None


TEXT = Form("a text", frozenset({str}))
NAME = Form("a name, as its codes have", frozenset({str}), re.compile(r"(?!\d+$).*", re.DOTALL))
INTEGER = Form("an integer", frozenset({int}))
# Some small integers are codes that only GitLab's paid editions give names.
CODE = Form("an integer or a name", frozenset({int, str}), re.compile(r"[a-z]\w*"))
NUMBER = Form("a number", frozenset({int, float}))
BOOLEAN = Form("true or false", frozenset({bool}))
ARRAY = Form("an array", frozenset({list}))
OBJECT = Form("an object", frozenset({dict}))
STRUCTURE = Form("an object or an array", frozenset({dict, list}))
HEX = Form("lower-case hexadecimal digits", frozenset({str}), re.compile(r"([0-9a-f]{2})*"))
SHA = Form("a Git object's id", frozenset({str}), _OBJECT_ID)
TIME = Form("a time like 2017-08-29T04:36:44.383Z", frozenset({str}), _TIME)
DATE = Form("a date like 2017-08-29", frozenset({str}), re.compile(_DATE))

_BY_TYPE = {
    "bigint": INTEGER,
    "integer": INTEGER,
    "smallint": CODE,
    "double precision": NUMBER,
    "real": NUMBER,
    "numeric": NUMBER,
    "boolean": BOOLEAN,
    "text": TEXT,
    "character varying": TEXT,
    "character": TEXT,
    "bytea": HEX,
    "timestamp without time zone": TIME,
    "timestamp with time zone": TIME,
    "date": DATE,
}


@dataclass
class Rules:
    """What records of a relation hold. forms, nested: by the tree; by key, None where anything may stand.

    model: what the importer takes, None where it is not known. plain: keys of which it takes any value.
    """

    name: str
    forms: dict[str, Form | None]
    nested: dict[str, Rules]
    model: Model | None = None
    one: bool = False
    has_iids: bool = False
    plain: frozenset[str] = frozenset()


class Records:
    """Checks records one by one; what is found goes to `findings`. Keeps about a bit per iid.

    strict: whether a value over a limit of the importer's models is a problem.
    """

    def __init__(self, tree: Tree, findings: Findings, *, strict: bool = False) -> None:
        self._findings = findings
        self._strict = strict
        self._models = models(tree.name)
        self._named: set[str] = set(self._models.keys)
        self._anywhere: dict[str, Rules] = {}
        tree = tree.extended()
        self._root = self._rules(tree, tree.root)
        self._tops = {relation.name: self._rules(tree, relation, top=True) for relation in tree.relations}
        self._iids: dict[str, _Seen] = {}

    def one(self, relation: str) -> bool | None:
        """Whether a top-level relation has one record at most; None when the tree has no such relation."""
        rules = self._tops.get(relation)
        return rules.one if rules else None

    def check(self, relation: str, file: str, number: int, record: dict[str, Any], text: bytes) -> None:
        """Check a record: of a top-level relation on line `number` (from 1) of a file, or the root, which has line 0.

        text: the JSON that it was read from.
        """
        rules = self._tops.get(relation) if number else self._root
        if rules is None:
            # A file named like the root holds no root.
            rules = Rules(relation, {}, {}, None if relation == self._root.name else self._models.get(relation))
        walk = _Walk(self._findings, self._named, self._anywhere, self._models, file, number, self._strict)
        walk.record(relation, rules, record, 0)
        if NUL in text:
            walk.nul(relation, record)
        iid = record.get("iid")
        if rules.has_iids and type(iid) is int and not self._iids.setdefault(relation, _Seen()).add(iid):
            self._findings.add(
                "iid", file, f"iid {iid} a second time; the importer skips the record", line=number, about="iid"
            )

    def _rules(self, tree: Tree, relation: Relation, *, top: bool = False) -> Rules:
        model = self._models.get(relation.name)
        handled = model.handled if model else frozenset()
        forms = {key.name: None if key.name in handled else _form(tree, relation, key) for key in relation.keys}
        nested = {child.name: self._rules(tree, child) for child in relation.children}
        has_iids = top and "iid" in forms
        plain = model.plain if model else frozenset(forms)
        rules = Rules(relation.name, forms, nested, model, relation.one, has_iids, plain)
        self._named.update(forms, nested)
        known = self._anywhere.setdefault(relation.name, Rules(relation.name, {}, {}, model))
        known.forms = forms | known.forms
        known.nested = nested | known.nested
        return rules


@dataclass
class _Walk:
    """One record and all that is nested in it."""

    findings: Findings
    named: set[str]
    anywhere: dict[str, Rules]
    models: Models
    file: str
    number: int
    strict: bool

    def record(self, path: str, rules: Rules, record: dict[str, Any], depth: int) -> None:
        if depth > DEEPEST:
            self.add("nested", path, f"nested more than {DEEPEST} records deep")
            return
        model, plain = rules.model, rules.plain
        for key, value in record.items():
            if key in rules.forms:
                if key not in plain and model is not None and model.knows(key, value):
                    continue
                form = rules.forms[key]
                if form is not None and value is not None and not form.fits(value):
                    self.misfit(f"{path}.{key}", form, value)
                elif key not in plain and model is not None:
                    self.value(path, key, value, model)
            elif key in rules.nested:
                self.nested(f"{path}.{key}", rules.nested[key], value, depth)
            else:
                self.unknown(path, key, value, depth, rules)
        if model is not None and not model.bare:
            for fault in model.of_record(record):
                self.add(fault.code, f"{path}.{fault.key}" if fault.key else path, fault.message)

    def nested(self, path: str, rules: Rules, value: Any, depth: int) -> None:
        if value is None:
            self.add("form", path, "null; GitLab leaves the key of an absent record out")
        if rules.one and isinstance(value, list):
            self.add("nested", path, "an array where one nested record belongs")
        for one in value if isinstance(value, list) else [] if value is None else [value]:
            if isinstance(one, dict):
                self.record(path, rules, one, depth + 1)
            else:
                self.add("nested", path, f"{_kind(one)} where a nested record belongs")

    def value(self, path: str, key: str, value: Any, model: Model) -> None:
        """Ask the importer's model of a key that the tree has, or that the model names."""
        if key not in model.checks:
            if not model.takes(key):
                self.untaken(path, key, model)
        elif fault := model.of_key(key, value):
            self.add("limit" if self.strict and fault.code == "long" else fault.code, f"{path}.{key}", fault.message)

    def untaken(self, path: str, key: str, model: Model) -> None:
        path = f"{path}.{key}"
        if key in model.rejected:
            self.add("rejected", path, "an unknown attribute; the importer rejects the record", importer.ALLOW_LISTS)
        elif importer.prohibited(key, self.named):
            self.add("prohibited", path, "the importer drops keys of this name", importer.ALLOW_LISTS)
        else:
            self.add("dropped", path, "the importer knows no such key and drops it", importer.ALLOW_LISTS)

    def unknown(self, path: str, key: str, value: Any, depth: int, rules: Rules) -> None:
        """Look at a key that the tree does not have here."""
        model, here = rules.model, f"{path}.{key}"
        if not key:
            self.add("key", here, "an empty key")
        elif model is not None and key in model.checks:
            self.value(path, key, value, model)
        elif key in self.anywhere or (model is not None and key in model.nested):
            if model is not None and not model.takes(key):
                self.untaken(path, key, model)
            self.nested(here, self.anywhere.get(key) or Rules(key, {}, {}, self.models.get(key)), value, depth)
            return
        elif key not in self.named and importer.secret(key) and not isinstance(value, bool):
            # Old archives have such keys with null, which tells nothing.
            since: Version = () if value is not None else importer.ALLOW_LISTS
            self.add("secret", here, "looks like a secret; none leaves GitLab", since)
        elif model is not None:
            if not model.takes(key):
                self.untaken(path, key, model)
        elif importer.prohibited(key, self.named):
            self.add("prohibited", here, "the importer drops keys of this name", importer.ALLOW_LISTS)
        elif rules.forms:
            self.add("unknown", here, "the tree has no such key", importer.ALLOW_LISTS)
        if isinstance(value, str) and key.endswith("_at") and not TIME.fits(value):
            self.misfit(here, TIME, value)
        if key not in self.models.free:
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, dict):
                    self.record(here, Rules(key, {}, {}), one, depth + 1)

    def misfit(self, path: str, form: Form, value: Any) -> None:
        found = _kind(value)
        if isinstance(value, str) and str in form.types:
            found = "PostgreSQL's text of bytes" if value.startswith("\\x") else "a text of another form"
        self.add("type", path, f"{found} instead of {form.what}")

    def nul(self, path: str, value: Any, key: str = "") -> None:
        if isinstance(value, dict):
            for name, one in value.items():
                if name not in self.models.yaml or isinstance(one, str):
                    self.nul(f"{path}.{name}", one, name)
        elif isinstance(value, list):
            for one in value:
                self.nul(path, one, key)
        elif isinstance(value, str) and "\0" in value and key not in self.models.stripped:
            self.add("nul", path, "a text with the character U+0000, which PostgreSQL refuses")

    def add(self, code: str, path: str, message: str, since: Version = ()) -> None:
        self.findings.add(code, self.file, f"{path}: {message}", line=self.number, about=(path, message), since=since)


@dataclass
class _Seen:
    """A set of numbers, small where they lie close together: one bit each, in pages of 512."""

    pages: dict[int, int] = field(default_factory=dict)

    def add(self, number: int) -> bool:
        """Add a number; False when it was there."""
        page, bit = number >> 9, 1 << (number & 511)
        bits = self.pages.get(page, 0)
        self.pages[page] = bits | bit
        return not bits & bit


def _form(tree: Tree, relation: Relation, key: Key) -> Form | None:
    """Return the form of a key's values; None where they may have several."""
    if key.wrap is not None:
        return OBJECT
    variants = (key, *(variant for _, variant in key.editions))
    forms = {_form_of(tree, relation, key.name, form) for variant in variants for form in variant.forms}
    return forms.pop() if len(forms) == 1 else None


def _form_of(tree: Tree, relation: Relation, name: str, form: tree_forms.Form) -> Form | None:
    if form.constant is not None:
        return TEXT if form.constant.startswith('"') else None
    if form.enum is not None:
        return NAME
    if form.transform is not None and not form.when:
        return STRUCTURE if TRANSFORMS[form.transform].structured else TEXT
    if form.transform is not None and TRANSFORMS[form.transform].structured:
        return None
    table, column = _column(relation, form)
    sql_type = tree.known.get(table, {}).get(column, "")
    if sql_type.endswith("[]"):
        return ARRAY
    if re.search(r"(^|_)sha$", name):
        return SHA
    return _BY_TYPE.get(re.sub(r"\(\d+\)", "", sql_type))


def _column(relation: Relation, form: tree_forms.Form) -> tuple[str, str]:
    """Return table and column of what a form reads first."""
    source: tree_forms.Source | None = form.of or (form.sources[0] if form.sources else None)
    table = relation.table
    while isinstance(source, Lookup):
        table, source = source.row.table, source.value
    if source is None:
        return table, ""
    beside = {row.name: row.table for row in relation.beside}
    return beside.get(source.row, table), source.column


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "an object")
