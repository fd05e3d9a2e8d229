"""The nodes of one YAML file → names and values. Every mistake is a TreeError with file, line and what."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import yaml

from project_export.errors import TreeError, nearest
from project_export.tree.forms import Scalar

Fields = Mapping[str, yaml.Node]


class Nodes:
    """Reads the nodes of the file at `path`, which error messages name."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fail(self, node: yaml.Node, message: str) -> NoReturn:
        """Raise TreeError with the file and the line of a node."""
        raise TreeError(f"{self.path}:{node.start_mark.line + 1}: {message}")

    def document(self, text: str) -> yaml.Node:
        """Return the root node of a YAML document."""
        try:
            document = yaml.compose(text, Loader=yaml.CSafeLoader)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = f"{self.path}:{mark.line + 1}" if mark else str(self.path)
            raise TreeError(f"{where}: invalid YAML: {getattr(error, 'problem', None) or error}") from error
        if document is None:
            raise TreeError(f"{self.path}:1: the file is empty; it needs name, root and relations")
        return document

    def fields(self, node: yaml.Node, valid: set[str], what: str, required: tuple[str, ...] = ()) -> Fields:
        """Return the attributes of a mapping. valid: those that it may have. required: those that it must have."""
        pairs = self.pairs(node, what)
        for key, _ in pairs:
            if self.text(key) not in valid:
                self.fail(key, f"{what} has no attribute {self.text(key)}; {nearest(self.text(key), valid)}")
        fields = {self.text(key): value for key, value in pairs}
        for name in required:
            if name not in fields:
                self.fail(node, f"{what} lacks the attribute {name}")
        return fields

    def mapping(self, node: yaml.Node | None, what: str) -> dict[str, yaml.Node]:
        """Return the values of a mapping by name; none if there is no node."""
        return {self.text(key): value for key, value in self.pairs(node, what)}

    def pairs(self, node: yaml.Node | None, what: str, *, raw: bool = False) -> list[tuple[yaml.Node, yaml.Node]]:
        """Return the nodes of a mapping's keys and values. Raises TreeError for a key that is there twice.

        raw: compare keys as texts, so that 17.1 and 17.10 are different.
        """
        if node is None:
            return []
        if not isinstance(node, yaml.MappingNode):
            self.fail(node, f"{what} must be a mapping, {{name: value}}")
        self.unique([(str(key.value if raw else self.plain(key)), key) for key, _ in node.value], f"{what}:")
        return list(node.value)

    def items(self, node: yaml.Node | None, what: str) -> list[yaml.Node]:
        """Return the nodes of a list; none if there is no node."""
        if node is None:
            return []
        if not isinstance(node, yaml.SequenceNode):
            self.fail(node, f"{what} must be a list")
        return list(node.value)

    def unique(self, names: Iterable[tuple[str, yaml.Node]], what: str) -> None:
        """Raise TreeError for a name that is there twice."""
        seen = set()
        for name, node in names:
            if name in seen:
                self.fail(node, f"{what} {name} is there twice")
            seen.add(name)

    def plain(self, node: yaml.Node) -> Any:
        """Return the Python value of a node."""
        try:
            return yaml.constructor.SafeConstructor().construct_object(node, deep=True)
        except (yaml.YAMLError, ValueError) as error:
            self.fail(node, f"invalid value: {getattr(error, 'problem', None) or error}")

    def text(self, node: yaml.Node) -> str:
        """Return a name."""
        value = self.plain(node)
        if not isinstance(value, str) or not value.strip():
            self.fail(node, f"this must be a name; got {value!r}")
        return value

    def flag(self, node: yaml.Node | None) -> bool:
        """Return true or false; false if there is no node."""
        value = node is not None and self.plain(node)
        if not isinstance(value, bool):
            assert node is not None
            self.fail(node, f"this must be true or false; got {value!r}")
        return value

    def json(self, node: yaml.Node) -> str:
        """Return the JSON text of a value."""
        try:
            return json.dumps(self.plain(node), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        except (TypeError, ValueError) as error:
            self.fail(node, f"JSON has no such value: {error}")

    def scalars(self, node: yaml.Node) -> tuple[Scalar, ...]:
        """Return the values of a condition: one, or a list of at least one."""
        value = self.plain(node)
        values = tuple(value) if isinstance(value, list) else (value,)
        if not values:
            self.fail(node, "a condition needs a value; nothing is in an empty list")
        for item in values:
            if not (item is None or isinstance(item, (str, int, bool))):
                self.fail(node, f"a condition compares with a text, an integer, true, false or null; got {item!r}")
        return values
