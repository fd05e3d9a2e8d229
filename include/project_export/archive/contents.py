"""JSON files: one object per file, or one record per line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from project_export.archive.findings import Findings
from project_export.archive.importer import importer
from project_export.archive.records import Records
from project_export.archive.strict import lines as split
from project_export.archive.strict import parse
from project_export.errors import ArchiveBroken
from project_export.tree import Tree

_BAD: Any = object()


class Contents:
    """Checks the content of JSON files and adds what is wrong to `findings`.

    tree: defines the records. longest: maximum bytes of a line, or of a file with one object; a longer one is a finding
    and is not parsed. strict: whether values over an importer's limits are a problem.
    """

    def __init__(self, tree: Tree, findings: Findings, longest: int, *, strict: bool = False) -> None:
        self._findings = findings
        self._longest = longest
        self._escapes = tree.format.escapes
        self._no_empty_files = importer(tree.format.importer).no_empty_files
        self._records = Records(tree, findings, strict=strict)

    def document(self, name: str, chunks: Iterable[bytes], relation: str = "") -> dict[str, Any] | None:
        """Check a file with one object, and return the object.

        relation: whose record it is, empty if it is not a record. Returns None if the file is too long or not an
        object.
        """
        held: list[bytes] = []
        size = 0
        for chunk in chunks:
            size += len(chunk)
            if size <= self._longest:
                held.append(chunk)
        if size > self._longest:
            self._findings.add("limit", name, f"{size} bytes; at most {self._longest} are read")
            return None
        text = b"".join(held)
        value = self._value(name, 0, text)
        if isinstance(value, dict):
            if b"\n" in text:
                self._findings.add("form", name, "more than one line, or a newline at the end")
            if relation:
                self._records.check(relation, name, 0, value, text)
            return value
        if value is not _BAD:
            self._findings.add("json", name, "not an object")
        return None

    def lines(self, relation: str, name: str, chunks: Iterable[bytes]) -> int:
        """Check a file with one record per line, and return their number."""
        one = self._records.one(relation)
        if one is None:
            self._findings.add("unknown", name, "the tree has no such relation")
        records = number = 0
        line: bytes | int = b""
        for number, line in enumerate(split(chunks, self._longest), 1):
            if isinstance(line, int):
                self._findings.add(
                    "limit", name, f"a line of {line} bytes; at most {self._longest} are read", line=number
                )
                records += 1
                continue
            value = self._value(name, number, line)
            if value is None:
                if one is False or number > 1:
                    self._findings.add("form", name, "null instead of a record; importers skip it", line=number)
            elif isinstance(value, dict):
                records += 1
                self._records.check(relation, name, number, value, line)
            elif value is not _BAD:
                self._findings.add("json", name, "not an object", line=number)
        self._ends(name, one, number, ended=line.endswith(b"\n") if isinstance(line, bytes) else None)
        return records

    def _ends(self, name: str, one: bool | None, lines_read: int, *, ended: bool | None) -> None:
        """Check how many lines a file has and how it ends. ended: whether with a newline, None if unknown."""
        if one and lines_read > 1:
            self._findings.add("lines", name, f"{lines_read} lines in a one-to-one relation")
        elif one and ended:
            self._findings.add("form", name, "a newline after the record of a one-to-one relation")
        elif one and not lines_read:
            self._findings.add("form", name, "empty; a one-to-one relation without a record has null")
        elif not one and lines_read and ended is False and not (one is None and lines_read == 1):
            self._findings.add("lines", name, "the last line has no newline")
        elif one is False and not lines_read:
            self._findings.add(
                "form", name, "empty; a relation without records has no file", since=self._no_empty_files
            )

    def _value(self, name: str, number: int, text: bytes) -> Any:
        """Return the value of a JSON text, or _BAD if it is not JSON."""
        if text.rstrip(b"\n").endswith(b"\r"):
            self._findings.add("json", name, "a carriage return at the end", line=number)
            return _BAD
        try:
            return parse(text, self._escapes)
        except ArchiveBroken as error:
            self._findings.add("json", name, str(error), line=number)
            return _BAD
