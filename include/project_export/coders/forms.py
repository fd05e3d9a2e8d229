"""Forms of YAML mappings that were seen before: each becomes one pattern, which reads a text at once.

A form is the names of a mapping in their order, with their nesting, and the kinds of its values. An application writes
few, since it writes its own objects. Reading a text line by line takes four times as long.
"""

from __future__ import annotations

import re
from collections import Counter

LITERAL, PLAIN, SINGLE, DOUBLE = b"literal", b"plain", b"single", b"double"
"""Kinds of values: a number or a word that JSON has as well, or nothing; a text without quotes; in single, in double
quotes."""

_INSIDE = {
    LITERAL: rb"0|[1-9][0-9]{0,17}|true|false",
    PLAIN: rb"""
        (?!0b[01_]*\\n)[0-9]+[a-f][0-9a-f]*(?:_[0-9]+_[0-9]+)?                 # a commit, the code of a line
      | (?!(?=[.FNOTYfnoty])(?i:yes|no|on|off|true|false|null|\.inf|\.nan)\\n)  # what YAML does not read as a text
        (?:\.?[A-Za-z\x80-\xff]|_)[0-9A-Za-z_./+@~\x80-\xff-]*               # a path; but neither `: ` nor ` #`
        (?:\ [0-9A-Za-z_./+@~(\x80-\xff-][0-9A-Za-z_./+@~()\x80-\xff-]*)*
    """,
    SINGLE: rb"[ -!\#-&(-\[\]-~\x80-\xff]+",
    DOUBLE: rb"[ -!\#-\[\]-~\x80-\xff]+",
}
"""A verbose pattern of each kind, without its quotes."""
_AROUND = {LITERAL: b"(?:\\ (%b)|\\ ?)", PLAIN: b"\\ (%b)", SINGLE: b"\\ '(%b)'", DOUBLE: rb"\ \\\"(%b)\\\""}

SCALAR = rb"""(%b) | ( %b | '%b' | \\"%b\\" )""" % tuple(_INSIDE.values())
"""A verbose pattern of a value: a literal, or a text, perhaps in quotes."""

Shape = tuple[tuple[bytes, bytes, "Shape | bytes"], ...]
"""Of a mapping, by line: the name; what follows its colon; the shape of a nested mapping, or the kind of a value."""

STEP = 2
"""Spaces by which a nested mapping is indented."""
_SEEN_OFTEN = 3
_MOST_FORMS = 64
_MOST_SEEN = 256
_ESCAPE = b"\\"  # of each line's end and each double quote
_TEXT = b'"%b"'
_BETWEEN = b"\0"  # of values; no text has it
_QUOTES = {ord("'"): SINGLE, ord("\\"): DOUBLE}  # in JSON, double quotes are escaped


def text_json(text: bytes) -> tuple[bytes, bytes]:
    """Return a text that SCALAR found as JSON, and its kind."""
    kind = _QUOTES.get(text[0], PLAIN)
    if kind is SINGLE:
        text = text[1:-1]
    elif kind is DOUBLE:
        text = text[2:-2]
    return _TEXT % text, kind


class Form:
    """Reads mappings of one shape after a head, which is part of a JSON text. indent: spaces before its lines."""

    def __init__(self, head: bytes, shape: Shape, indent: int) -> None:
        self._pattern = re.compile(re.escape(head) + _pattern(shape, indent) + b'"', re.VERBOSE | re.DOTALL)
        self._names = [name for name, _, _ in shape]
        self._template = _BETWEEN.join(_template(of) for _, _, of in shape)

    def read(self, stored: bytes) -> dict[bytes, bytes] | None:
        """Return the values as JSON texts, by name; None if the text has another form."""
        found = self._pattern.fullmatch(stored)
        if found is None:
            return None
        values = (self._template % found.groups(b"null")).split(_BETWEEN)
        return dict(zip(self._names, values, strict=True))


class Forms:
    """The forms that were seen often. Others stay unknown, since a form takes milliseconds to make.

    known: their number.
    """

    def __init__(self) -> None:
        self.known = 0
        self._forms: dict[tuple[bytes, int], list[Form]] = {}  # by head and number of escapes
        self._seen: Counter[tuple[bytes, Shape]] = Counter()

    def read(self, stored: bytes, head: bytes) -> dict[bytes, bytes] | None:
        """Return what a known form finds; None if there is none for this text."""
        for form in self._forms.get((head, stored.count(_ESCAPE)), ()):
            found = form.read(stored)
            if found is not None:
                return found
        return None

    def learn(self, stored: bytes, head: bytes, shape: Shape, indent: int) -> None:
        """Note that a text has this shape."""
        if self.known >= _MOST_FORMS:
            return
        if len(self._seen) >= _MOST_SEEN:
            self._seen.clear()
        self._seen[head, shape] += 1
        if self._seen[head, shape] == _SEEN_OFTEN:
            self.known += 1
            self._forms.setdefault((head, stored.count(_ESCAPE)), []).append(Form(head, shape, indent))


def _pattern(shape: Shape, indent: int) -> bytes:
    lines = []
    for name, tag, of in shape:
        lines.append(re.escape(b" " * indent + name + b":" + tag))
        if isinstance(of, bytes):
            lines.append(_AROUND[of] % _INSIDE[of] + rb"\\n")
        else:
            lines.append(rb"\\n" + _pattern(of, indent + STEP))
    return b"".join(lines)


def _template(of: Shape | bytes) -> bytes:
    """Return the JSON text of a value, with a place for each scalar."""
    if isinstance(of, bytes):
        return b"%b" if of is LITERAL else _TEXT
    return b"{%b}" % b",".join([b'"%b":%b' % (name.lstrip(b":"), _template(nested)) for name, _, nested in of])
