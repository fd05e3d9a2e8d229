"""Forms of YAML mappings that were seen before: each becomes one pattern, which reads a text at once.

A form is the names of a mapping in their order, with their nesting. An application writes few, since it writes its own
objects. Reading a text line by line takes three times as long.
"""

from __future__ import annotations

import re
from collections import Counter

SCALAR = rb"""
        (0|[1-9][0-9]{0,17}|true|false)
      | ( (?!0b[01_]*\\n)[0-9]+[a-f][0-9a-f]*(?:_[0-9]+_[0-9]+)?               # a commit, the code of a line
        | (?!(?i:yes|no|on|off|true|false|null|\.inf|\.nan)\\n)                 # what YAML does not read as a text
          (?:\.?[A-Za-z\x80-\xff]|_)[\w./+@~\x80-\xff-]*                     # a path; but neither `: ` nor ` #`
          (?:\ [\w./+@~(\x80-\xff-][\w./+@~()\x80-\xff-]*)*
        | '[ -!\#-&(-\[\]-~\x80-\xff]+'
        | \\"[ -!\#-\[\]-~\x80-\xff]+\\"
        )
"""
"""A verbose pattern of a value: a number or a word, which JSON has as well; or a text, perhaps in quotes."""

Shape = tuple[tuple[bytes, bytes, "Shape | None"], ...]
"""Of a mapping, by line: the name; what follows its colon, and the shape of a nested mapping, None for a value."""

STEP = 2
"""Spaces by which a nested mapping is indented."""
_SEEN_OFTEN = 3
_MOST_FORMS = 16
_MOST_SEEN = 256
_NEWLINE = rb"\n"  # as JSON has it
_PLACE = b"%b"
_SINGLE, _DOUBLE = b"'\\"


def text_json(text: bytes) -> bytes:
    """Return a text that SCALAR found, as JSON."""
    start = text[0]
    if start == _SINGLE:
        text = text[1:-1]
    elif start == _DOUBLE:  # in JSON, the quotes themselves are escaped
        text = text[2:-2]
    return b'"' + text + b'"'


class Form:
    """Reads mappings of one shape after a head, which is part of a JSON text. indent: spaces before its lines."""

    def __init__(self, head: bytes, shape: Shape, indent: int) -> None:
        self._pattern = re.compile(re.escape(head) + _pattern(shape, indent) + b'"', re.VERBOSE | re.DOTALL)
        self._names = [name for name, _, _ in shape]
        templates = [_template(nested) for _, _, nested in shape]
        self._nested = [(at, text, text.count(_PLACE)) for at, text in enumerate(templates) if text != _PLACE]

    def read(self, stored: bytes) -> dict[bytes, bytes] | None:
        """Return the values as JSON texts, by name; None if the text has another form."""
        found = self._pattern.fullmatch(stored)
        if found is None:
            return None
        groups = found.groups()
        values = [
            literal or (b"null" if text is None else text_json(text))
            for literal, text in zip(groups[::2], groups[1::2], strict=True)
        ]
        for at, template, places in self._nested:
            values[at : at + places] = [template % tuple(values[at : at + places])]
        return dict(zip(self._names, values, strict=True))


class Forms:
    """The forms that were seen often. Others stay unknown, since a form takes milliseconds to make.

    known: their number.
    """

    def __init__(self) -> None:
        self.known = 0
        self._forms: dict[tuple[bytes, int], list[Form]] = {}  # by head and number of lines
        self._seen: Counter[tuple[bytes, Shape]] = Counter()

    def read(self, stored: bytes, head: bytes) -> dict[bytes, bytes] | None:
        """Return what a known form finds; None if there is none for this text."""
        for form in self._forms.get((head, stored.count(_NEWLINE)), ()):
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
            self._forms.setdefault((head, stored.count(_NEWLINE)), []).append(Form(head, shape, indent))


def _pattern(shape: Shape, indent: int) -> bytes:
    lines = []
    for name, tag, nested in shape:
        lines.append(re.escape(b" " * indent + name + b":" + tag))
        lines.append(rb"(?:\ (?:%b)|\ ?)\\n" % SCALAR if nested is None else rb"\\n" + _pattern(nested, indent + STEP))
    return b"".join(lines)


def _template(shape: Shape | None) -> bytes:
    """Return the JSON text of a value, with a place for each scalar."""
    if shape is None:
        return _PLACE
    return b"{%b}" % b",".join([b'"%b":%b' % (name.lstrip(b":"), _template(nested)) for name, _, nested in shape])
