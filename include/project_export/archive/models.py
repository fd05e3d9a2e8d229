"""What an importer's models accept: keys and values of a record, and what happens to any others.

`importer` reads the lists from data.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from project_export.archive.positions import Positions


class Fault(NamedTuple):
    """A value that a model does not accept. code: of a finding. key: of the value, empty for the record as a whole."""

    code: str
    key: str
    message: str


@dataclass(frozen=True)
class Check:
    """The values of one key that a model accepts.

    names: None if any value is accepted. former: names that older versions accepted. codes: None if any integer is
    accepted. longest: maximum characters. cut: characters after which a text is truncated. between: minimum and maximum
    of a number. like: the form of a text. keys: the keys of an object, each with its names. filled: whether null and
    blank are rejected; otherwise null is always accepted.
    """

    names: frozenset[str | int] | None = None
    former: frozenset[str | int] = frozenset()
    codes: frozenset[str | int] | None = None
    longest: int | None = None
    cut: int | None = None
    between: tuple[int, int] | None = None
    like: re.Pattern[str] | None = None
    keys: Mapping[str, frozenset[str | int] | None] | None = None
    filled: bool = False

    def fault(self, value: Any, loss: str) -> tuple[str, str] | None:
        """Return code and message of what is wrong with a value, or None. loss: the consequence."""
        if value is None:
            return ("unfit", f"empty; {loss}") if self.filled else None
        if self.names is not None:
            return None if _one_of(value, self.names) else self._unknown(value, loss)
        if self.codes is not None and not _one_of(value, self.codes):
            return "unfit", f"a code that the importer's model rejects; {loss}"
        if isinstance(value, str):
            return self._text(value, loss)
        if self.between is not None and _number(value) and not self.between[0] <= value <= self.between[1]:
            return "long", f"not between {self.between[0]} and {self.between[1]}; {loss}"
        return self._object(value, loss) if self.keys is not None else None

    def _text(self, value: str, loss: str) -> tuple[str, str] | None:
        if self.filled and not value.strip():
            return "unfit", f"empty; {loss}"
        if self.longest is not None and len(value) > self.longest:
            return "long", f"{len(value)} characters; the maximum is {self.longest}; {loss}"
        if self.cut is not None and len(value) > self.cut:
            return "cut", f"{len(value)} characters; the importer truncates it to {self.cut}"
        if self.like is not None and not self.like.fullmatch(value.strip()):
            return "unfit", f"a text in a form that the importer's model rejects; {loss}"
        return self._object(value, loss) if self.keys is not None else None

    def _unknown(self, value: Any, loss: str) -> tuple[str, str]:
        if _one_of(value, self.former):
            return "unfit", f"a name that the importer no longer knows; {loss}"
        what = "a name" if isinstance(value, str) else "a number" if _number(value) else "a value"
        return "enum", f"{what} that the importer does not know; {loss}"

    def _object(self, value: Any, loss: str) -> tuple[str, str] | None:
        assert self.keys is not None
        if not isinstance(value, dict):
            return "type", f"not an object with {' or '.join(self.keys)}; {loss}"
        if not any(isinstance(value.get(key), str) for key in self.keys):
            return "unfit", f"neither {' nor '.join(self.keys)}; the importer uses its default"
        for key, names in self.keys.items():
            if names is not None and value.get(key) is not None and not _one_of(value[key], names):
                return "enum", f"a {key} that the importer does not know; it uses its default"
        return None


@dataclass(frozen=True)
class Model:
    """One model of the importer: what it accepts in a record of the relation of this name.

    checks: by accepted key, None if any value is accepted. nested: relations below it. ignored: keys that it drops
    without losing data. rejected: keys that make it reject the record. loss: what happens when it rejects a value.
    needs: keys that the record must have, each with the kind of its value. either: keys, at least one of them required.
    above: pairs of keys; the number of the first must not be above that of the second. ends: whether the whole import
    fails when it rejects a value. positions: the rules for positions in a diff, None if it has none.
    """

    name: str
    checks: Mapping[str, Check | None]
    nested: frozenset[str]
    ignored: frozenset[str]
    rejected: frozenset[str]
    loss: str
    needs: tuple[tuple[str, str], ...] = ()
    either: tuple[str, ...] = ()
    above: tuple[tuple[str, str], ...] = ()
    ends: bool = False
    positions: Positions | None = None

    @cached_property
    def handled(self) -> frozenset[str]:
        """Keys whose form depends on the rest of the record."""
        return self.positions.handled if self.positions else frozenset()

    @cached_property
    def plain(self) -> frozenset[str]:
        """The keys for which any value is accepted."""
        return self.ignored.union(key for key, check in self.checks.items() if check is None)

    @cached_property
    def bare(self) -> bool:
        """Whether nothing is required of a record as a whole."""
        return not (self.needs or self.either or self.above or self.positions)

    def takes(self, key: str) -> bool:
        """Return whether the model accepts or ignores a key."""
        return key in self.checks or key in self.nested or key in self.ignored

    def knows(self, key: str, value: Any) -> bool:
        """Return whether a value is an accepted null or one of a key's names: a quick test that most values pass."""
        check = self.checks.get(key)
        if check is None:
            return False
        if value is None:
            return not check.filled
        return check.names is not None and type(value) is str and value in check.names

    def of_key(self, key: str, value: Any) -> Fault | None:
        """Return what is wrong with the value of a key of `checks`, or None."""
        check = self.checks[key]
        found = check.fault(value, self.loss) if check is not None else None
        if found is None:
            return None
        code, message = found
        # The root cannot be dropped: if its model rejects a value, the import fails.
        return Fault("refused" if self.ends and code != "cut" else code, key, message)

    def of_record(self, record: Mapping[str, Any]) -> Iterator[Fault]:
        """Yield what is wrong with a record as a whole."""
        for key, kind in self.needs:
            if not (key in record if kind == "key" else _is(kind, record.get(key))):
                yield Fault("lost", "", f"without {key}; {self.loss}")
        if self.either and not any(record.get(key) for key in self.either):
            yield Fault("lost", "", f"with neither {' nor '.join(self.either)}; {self.loss}")
        for key, other in self.above:
            level, limit = record.get(key), record.get(other)
            if isinstance(level, int) and isinstance(limit, int) and level > limit:
                yield Fault("unfit", key, f"above {other}; {self.loss}")
        if self.positions is not None:
            yield from (Fault(*found) for found in self.positions.faults(record))


def _one_of(value: Any, names: frozenset[str | int]) -> bool:
    # True is 1 in Python, and a list has no hash.
    return isinstance(value, str | int) and not isinstance(value, bool) and value in names


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is(kind: str, value: Any) -> bool:
    if kind == "text":
        return isinstance(value, str)
    return isinstance(value, dict) if kind == "record" else value is not None
