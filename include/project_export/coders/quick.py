"""YAML in the form in which Rails usually writes it, read without a YAML parser: mappings of names to short scalars.

Values come and go as JSON texts: so PostgreSQL sends them, and so the archive needs them. A text of any other form is
for a parser, which a test compares with this.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from project_export.coders.forms import LITERAL, SCALAR, STEP, Forms, Shape, text_json

INDIFFERENT = b"!ruby/hash:ActiveSupport::HashWithIndifferentAccess"
"""The tag of a hash that treats symbols and strings alike."""

LONGEST = 4096
"""Bytes of the texts that are looked at; longer ones are rare, and hardly ever of a form that is read here."""
_LINE = re.compile(
    rb"""
    (\ *)(:[a-z][a-z_]*|(?!(?:yes|no|on|off|true|false|null):)[a-z][a-z_]*):    # a name, as a symbol or as a string
    (?:\ (?:
        %b
      | (%b)
      )
    | \ ?                                                                       # nothing: null, or a nested mapping
    )\\n
    | (.)                                                                       # anything else
    """
    % (SCALAR, INDIFFERENT),
    re.VERBOSE | re.DOTALL,
)
_SPECIAL = re.compile(rb"\xc2[\x80-\x9f]|\xe2\x80[\xa8\xa9]|\xef\xbb\xbf|\xef\xbf[\xbe\xbf]")
"""Control characters, line separators, the byte order mark and noncharacters, which YAML reads differently."""
_Row = tuple[bytes, bytes, bytes, bytes, bytes, bytes]
"""A line: indentation, name, value as a number or a word, as a text in its quotes, as a tag; any other byte."""
_COLON = ord(":")
"""What a symbol starts with."""
_FORMS = Forms()


def mapping(stored: bytes, head: bytes, indent: int = 0) -> dict[bytes, bytes] | None:
    r"""Return what YAML maps names to, as JSON texts; None if the form is not a usual one.

    stored: the YAML as a JSON text. head: what the text starts with, before the mapping. indent: spaces before the
    mapping's lines. A symbol's name has its colon.

    >>> mapping(b'"---\\n:sha: 1e5\\n:lines:\\n  first: 7\\n  last:\\n"', b'"---\\n')
    {b':sha': b'"1e5"', b':lines': b'{"first":7,"last":null}'}
    """
    if len(stored) > LONGEST or not stored.startswith(head) or stored[-1:] != b'"':
        return None
    if not stored.isascii() and _SPECIAL.search(stored):
        return None
    known = _FORMS.read(stored, head)
    if known is not None:
        return known
    rows: list[_Row] = _LINE.findall(stored, len(head), len(stored) - 1)
    if not rows or len(rows[0][0]) != indent or rows[0][5] or rows[-1][5]:
        return None
    try:
        found, shape, end = _mapping(rows, 0)
    except _Unusual:
        return None
    if end < len(rows):
        return None
    _FORMS.learn(stored, head, shape, indent)
    return found


def written(found: Mapping[bytes, bytes]) -> bytes:
    """Return a mapping as the JSON text of an object."""
    return b"{%b}" % b",".join([b'"%b":%b' % (name.lstrip(b":"), value) for name, value in found.items()])


def _mapping(rows: Sequence[_Row], at: int) -> tuple[dict[bytes, bytes], Shape, int]:
    """Return the mapping that starts with a row, its shape, and the index of the row after it."""
    found: dict[bytes, bytes] = {}
    shape: list[tuple[bytes, bytes, Shape | bytes]] = []
    indent = rows[at][0]
    symbols = rows[at][1][0] == _COLON
    while at < len(rows) and rows[at][0] == indent:
        _, name, literal, text, tag, other = rows[at]
        at += 1
        if other or name in found or (name[0] == _COLON) != symbols:
            raise _Unusual
        of: Shape | bytes = LITERAL
        if text:
            found[name], of = text_json(text)
        elif literal:
            found[name] = literal
        elif at < len(rows) and len(rows[at][0]) == len(indent) + STEP:
            nested, of, at = _mapping(rows, at)
            found[name] = written(nested)
        elif tag:
            raise _Unusual
        else:
            found[name] = b"null"
        shape.append((name, b" " + tag if tag else b"", of))
    return found, tuple(shape), at


class _Unusual(Exception):
    """The form is not a usual one. It is always caught in this module."""
