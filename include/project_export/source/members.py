"""The values of a JSON object that arrives in pieces: those of some keys are found without parsing the others."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from project_export.coders import exact

_KEY = re.compile(rb'[{,]("(?:[^"\\]|\\.)*"):', re.DOTALL)
_END = re.compile(rb"\{?\}")
_TEXT = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*', re.DOTALL)
_MARK = re.compile(rb'["{}\[\]]')
_SCALAR = re.compile(rb"[^,}]*")

Member = tuple[str | None, bytes, bool]
"""A key with a piece of its value, and whether the value ends; without a key, bytes that are not such a value."""


class Members:
    """Splits one object as `row_to_json` writes it: without white space between keys and values.

    wanted: the keys whose values are found.
    """

    def __init__(self, wanted: Collection[str]) -> None:
        self._wanted = wanted
        self._rest = b""
        self._key: str | None = None
        self._inside = False
        self._depth = 0
        self._quoted = False
        self._begun = False

    def feed(self, data: bytes) -> Iterator[Member]:
        """Yield what the next bytes of the object hold. Its last brace is left out."""
        data, self._rest = self._rest + data, b""
        at = 0
        while at < len(data):
            if self._inside:
                end, ends = self._value_end(data, at)
                yield self._key, data[at:end], ends
                self._inside = not ends
                if end == at and not ends:  # half an escape
                    break
                at = end
            elif found := _KEY.match(data, at):
                key = str(exact.read(found[1].decode()))
                self._key = key if key in self._wanted else None
                self._inside, self._begun = True, False
                yield None, found[0], False
                at = found.end()
            elif last := _END.match(data, at):
                yield None, last[0][:-1], False
                return
            else:
                break
        self._rest = data[at:]

    def _value_end(self, data: bytes, at: int) -> tuple[int, bool]:
        """Return how far a value that goes on at `at` is known, and whether it ends there."""
        if not self._begun:
            self._begun, self._depth, self._quoted = True, 0, False
            if data[at : at + 1] not in (b'"', b"{", b"["):
                self._depth = -1
        if self._depth < 0:  # a number or a word
            found = _SCALAR.match(data, at)
            end = found.end() if found else at
            return end, end < len(data)
        while at < len(data):
            if self._quoted:
                text = _TEXT.match(data, at)
                at = text.end() if text else at
                if data[at : at + 1] != b'"':
                    return at, False
                self._quoted = False
                at += 1
            else:
                mark = _MARK.search(data, at)
                if mark is None:
                    return len(data), False
                at = mark.end()
                self._quoted = mark[0] == b'"'
                self._depth += {b'"': 0, b"{": 1, b"[": 1}.get(mark[0], -1)
            if not self._quoted and not self._depth:
                return at, True
        return at, False
