"""Check records by the tree and by the importer's models: forms of values, nested records, and what would be lost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from project_export.archive.findings import Findings, Version
from project_export.archive.importer import Importer
from project_export.archive.models import Model
from project_export.archive.rules import Rules, rules_of
from project_export.archive.values import TIME, Form
from project_export.tree import Tree

DEEPEST = 32
NUL = b"\\u0000"

_KINDS = {type(None): "null", bool: "a boolean", int: "a number", float: "a number", str: "a text", list: "an array"}


class Records:
    """Checks records one by one and adds what is wrong to `findings`. Keeps about one bit per unique value.

    strict: whether a value over a limit of the importer's models is a problem instead of a warning.
    """

    def __init__(self, tree: Tree, findings: Findings, *, strict: bool = False) -> None:
        self._findings = findings
        self._strict = strict
        self._rules = rules_of(tree)
        self._seen: dict[tuple[str, str], _Seen] = {}

    def one(self, relation: str) -> bool | None:
        """Return whether a top-level relation has at most one record; None if the tree has no such relation."""
        rules = self._rules.tops.get(relation)
        return rules.one if rules else None

    def check(self, relation: str, file: str, number: int, record: dict[str, Any], text: bytes) -> None:
        """Check a record of a top-level relation, or of the root.

        number: its line in the file, from 1; 0 for the root. text: its JSON.
        """
        known = self._rules
        rules = known.tops.get(relation) if number else known.root
        if rules is None:
            # A relation with the name of the root is not the root.
            model = None if relation == known.root.name else known.importer.models.get(relation)
            rules = Rules(relation, {}, {}, model)
        walk = _Walk(self._findings, known.named, known.anywhere, known.importer, file, number, self._strict)
        walk.record(relation, rules, record, 0)
        if NUL in text:
            walk.nul(relation, record)
        for key in rules.unique:
            value = record.get(key)
            if type(value) is int and not self._seen.setdefault((relation, key), _Seen()).add(value):
                message = f"{key} {value} occurs twice; the importer skips the second record"
                self._findings.add("iid", file, message, line=number, about=key)


@dataclass
class _Walk:
    """Checks one record and all records nested in it."""

    findings: Findings
    named: set[str]
    anywhere: dict[str, Rules]
    importer: Importer
    file: str
    number: int
    strict: bool

    def record(self, path: str, rules: Rules, record: dict[str, Any], depth: int) -> None:
        if depth > DEEPEST:
            self.add("nested", path, f"more than {DEEPEST} levels of nested records")
            return
        model, plain = rules.model, rules.plain
        for key, value in record.items():
            if key in rules.forms:
                if key not in plain and model is not None and model.knows(key, value):
                    continue
                form = rules.forms[key]
                if form is not None and value is not None and not form.fits(value):
                    self.wrong_form(f"{path}.{key}", form, value)
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
            self.add("form", path, "null; a record that does not exist has no key")
        if rules.one and isinstance(value, list):
            self.add("nested", path, "an array instead of one nested record")
        for one in value if isinstance(value, list) else [] if value is None else [value]:
            if isinstance(one, dict):
                self.record(path, rules, one, depth + 1)
            else:
                self.add("nested", path, f"{_kind(one)} instead of a nested record")

    def value(self, path: str, key: str, value: Any, model: Model) -> None:
        """Check a key of the tree, or of the model, by the importer's model."""
        if key not in model.checks:
            if not model.takes(key):
                self.not_accepted(path, key, model)
        elif fault := model.of_key(key, value):
            self.add("limit" if self.strict and fault.code == "long" else fault.code, f"{path}.{key}", fault.message)

    def not_accepted(self, path: str, key: str, model: Model) -> None:
        path = f"{path}.{key}"
        if key in model.rejected:
            self.add(
                "rejected", path, "an unknown attribute; the importer rejects the record", self.importer.allow_lists
            )
        elif self.importer.drops(key, self.named):
            self.add("prohibited", path, "the importer drops keys of this name", self.importer.allow_lists)
        else:
            self.add("dropped", path, "the importer does not know this key and drops it", self.importer.allow_lists)

    def unknown(self, path: str, key: str, value: Any, depth: int, rules: Rules) -> None:
        """Check a key that the tree does not have here."""
        model, here = rules.model, f"{path}.{key}"
        if not key:
            self.add("key", here, "an empty key")
        elif model is not None and key in model.checks:
            self.value(path, key, value, model)
        elif key in self.anywhere or (model is not None and key in model.nested):
            if model is not None and not model.takes(key):
                self.not_accepted(path, key, model)
            self.nested(here, self.anywhere.get(key) or Rules(key, {}, {}, self.importer.models.get(key)), value, depth)
            return
        elif key not in self.named and self.importer.secret(key) and not isinstance(value, bool):
            # Archives of old versions have such keys with null, which reveals nothing.
            since: Version = () if value is not None else self.importer.allow_lists
            self.add("secret", here, "looks like a secret; archives never contain secrets", since)
        elif model is not None:
            if not model.takes(key):
                self.not_accepted(path, key, model)
        elif self.importer.drops(key, self.named):
            self.add("prohibited", here, "the importer drops keys of this name", self.importer.allow_lists)
        elif rules.forms:
            self.add("unknown", here, "the tree has no such key", self.importer.allow_lists)
        times = self.importer.times
        if isinstance(value, str) and times and times.search(key) and not TIME.fits(value):
            self.wrong_form(here, TIME, value)
        if key not in self.importer.free:
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, dict):
                    self.record(here, Rules(key, {}, {}), one, depth + 1)

    def wrong_form(self, path: str, form: Form, value: Any) -> None:
        found = _kind(value)
        if isinstance(value, str) and str in form.types:
            found = "bytes as PostgreSQL prints them" if value.startswith("\\x") else "a text in another form"
        self.add("type", path, f"{found} instead of {form.what}")

    def nul(self, path: str, value: Any, key: str = "") -> None:
        if isinstance(value, dict):
            for name, one in value.items():
                if name not in self.importer.yaml or isinstance(one, str):
                    self.nul(f"{path}.{name}", one, name)
        elif isinstance(value, list):
            for one in value:
                self.nul(path, one, key)
        elif isinstance(value, str) and "\0" in value and key not in self.importer.stripped:
            self.add("nul", path, "a text with the character U+0000, which PostgreSQL rejects")

    def add(self, code: str, path: str, message: str, since: Version = ()) -> None:
        self.findings.add(code, self.file, f"{path}: {message}", line=self.number, about=(path, message), since=since)


@dataclass
class _Seen:
    """A set of numbers, with one bit per number in pages of 512, so numbers close to each other take little memory."""

    pages: dict[int, int] = field(default_factory=dict)

    def add(self, number: int) -> bool:
        """Add a number, and return False if it was already there."""
        page, bit = number >> 9, 1 << (number & 511)
        bits = self.pages.get(page, 0)
        self.pages[page] = bits | bit
        return not bits & bit


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "an object")
