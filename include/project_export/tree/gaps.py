"""What a tree reads and a database lacks, and whether the version of the application explains it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from project_export.errors import nearest
from project_export.tree.model import Option, Span, Tree

Version = tuple[float, ...]
Verdict = Literal["explained", "uncertain", "allowed", "missing"]

_NEWEST: Version = (float("inf"),)


@dataclass(frozen=True)
class LeftOut:
    """What is not exported, and why. path: dotted, of a relation or a key.

    omission: whether the source may have data there that the archive lacks; else its version does not have them.
    """

    path: str
    why: str
    omission: bool = False

    def __str__(self) -> str:
        return f"{self.path}: left out, {self.why}"

    def of(self, name: str) -> bool:
        """Return whether it belongs to the relation of this name."""
        return self.path == name or self.path.startswith((f"{name}.", f"{name}["))


@dataclass(frozen=True)
class _Gap:
    path: str
    name: str
    why: str
    line: int
    verdict: Verdict


class Gaps:
    """Collects what is absent while a tree is fitted to a catalogue.

    version: of the application, e.g. `18.6.0-ee`; the newest if empty. allowed: tables, and columns as `table.column`,
    that an operator allows to be absent.
    """

    def __init__(
        self, tree: Tree, catalogue: Mapping[str, Mapping[str, str]], version: str, allowed: frozenset[str]
    ) -> None:
        self._tree = tree
        self._catalogue = catalogue
        self._version = version
        self._said = tree.format.described(version)
        self._number = numbers(version) or _NEWEST
        self._allowed = allowed
        self._found: list[_Gap] = []
        self._problems: list[str] = []
        self._spared: set[str] = set()
        whole = tree.extended()
        self._came = {f"{path}.{name}": span for path, relation in whole.walk() for name, span in relation.since}
        self._came.update((name, span) for name, span in tree.root.since if name in whole.names)

    def add(self, path: str, table: str, column: str | None, line: int, use: str = "", *, spared: bool = False) -> None:
        """Record that a path of the tree lacks a column; without a column, that it lacks the table.

        use: what the rows need it for; then no version explains it. spared: the path is exported without it.
        """
        if table in self._spared:
            return
        if column is not None and table not in self._catalogue:
            column = None
        name = table if column is None else f"{table}.{column}"
        came = self._came.get(path)
        verdict: Verdict = "missing" if use else self._judged(name, table, came)
        why = f"the source has no {'table ' if column is None else ''}{name}"
        if came is not None:
            why += f"; {path.rpartition('.')[2]} was {came.came}"
        if verdict == "missing":
            valid = self._catalogue if column is None else self._catalogue[table]
            what = f"{path} needs {name} for {use}" if use else f"{path} reads {'table ' * (column is None)}{name}"
            known = self._tree.known.get(table, {})
            there = table in self._tree.known if column is None else column in known
            slip = "" if there else ", nor does the tree's reference schema"
            message = f"{self._tree.file}:{line}: {what}, which the source does not have{slip}"
            self._problems.append(f"{message}; {nearest(column or table, valid)}")
        if not (spared and verdict == "explained"):
            self._found.append(_Gap(path, name, why, line, verdict))

    def spare(self, table: str) -> None:
        """Stop recording that this table is absent."""
        self._spared.add(table)

    def partly(self, path: str, option: Option) -> None:
        """Record that a database has some of the tables of an optional relation and lacks others."""
        there = sorted(option.needs & self._catalogue.keys())
        lacking = sorted(option.needs - self._catalogue.keys())
        line = f"{self._tree.file}:{option.relation.line}"
        self._problems.append(f"{line}: {path} needs {', '.join(lacking)} as well as {', '.join(there)}")

    def problems(self) -> list[str]:
        """Return what is absent without an explanation, and what the database has although its version should not."""
        return list(dict.fromkeys([*self._problems, *self._contradictions()]))

    def left_out(self) -> tuple[LeftOut, ...]:
        """Return what is left out with an explanation, each path once."""
        found: dict[str, LeftOut] = {}
        for gap in self._found:
            if gap.verdict != "missing":
                why = gap.why + ("; this was allowed" if gap.verdict == "allowed" else "")
                omission = gap.verdict != "explained"
                if gap.path not in found or omission > found[gap.path].omission:
                    found[gap.path] = LeftOut(gap.path, why, omission)
        return tuple(found.values())

    def _judged(self, name: str, table: str, came: Span | None) -> Verdict:
        """Return whether the version or a setting explains that a table or column is absent."""
        verdicts = [
            self._before(self._tree.column_since.get(name) or self._tree.column_since.get(table)),
            self._after(self._tree.column_until.get(name) or self._tree.column_until.get(table)),
            self._before(came),  # a version that does not export a key may lack what the key reads
            "allowed" if {name, table} & self._allowed else "missing",
        ]
        order: tuple[Verdict, ...] = ("explained", "uncertain", "allowed", "missing")
        return next(verdict for verdict in order if verdict in verdicts)

    def _before(self, span: Span | None) -> Verdict:
        """Return whether what was added within a span may be absent."""
        if span is None:
            return "missing"
        before, after = numbers(span.before), numbers(span.after)
        if after and self._number >= after:
            return "missing"
        if before:
            return "explained" if self._number <= _padded(before) else "uncertain" if after else "missing"
        return "explained"

    def _after(self, span: Span | None) -> Verdict:
        """Return whether what was removed within a span may be absent."""
        if span is None:
            return "missing"
        before, after = numbers(span.before), numbers(span.after)
        if after and self._number >= after:
            return "explained"
        if before and self._number <= _padded(before):
            return "missing"
        return "uncertain" if after else "explained"

    def _contradictions(self) -> Iterator[str]:
        """Yield what the database has although its version cannot have it."""
        if not self._version:
            return
        for name, span in self._tree.column_since.items():
            before = numbers(span.before)
            if self._has(name) and before and self._number <= _padded(before):
                yield f"the source has {name}, which was {span.came}, but is said to be of {self._said}"
        for name, span in self._tree.column_until.items():
            after = numbers(span.after)
            if self._has(name) and after and self._number >= after:
                yield f"the source has {name}, which was removed by {span.after}, but is said to be of {self._said}"

    def _has(self, name: str) -> bool:
        table, _, column = name.partition(".")
        return table in self._catalogue and (not column or column in self._catalogue[table])


def numbers(version: str | None) -> Version:
    """Return the numbers of a version, none without a version.

    >>> numbers("18.6.0-ee"), numbers("17.1"), numbers(None)
    ((18, 6, 0), (17, 1), ())
    """
    found = re.match(r"\d+(?:\.\d+)*", version or "")
    return tuple(map(int, found[0].split("."))) if found else ()


def _padded(version: Version) -> Version:
    """Return a version's last patch release."""
    return (*version, float("inf")) if len(version) < 3 else version
