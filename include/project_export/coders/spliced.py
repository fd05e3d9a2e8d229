"""One value in the text of a JSON object, found without parsing the rest.

The object is one that PostgreSQL's `row_to_json` writes: compact around its own values, whatever is in them.
"""

from __future__ import annotations

from functools import cache

from project_export.coders import exact

_QUOTE, _BACKSLASH = b'"\\'
_SPACE = b" \t\n\r"


def found(text: bytes, key: str) -> tuple[int, int]:
    r"""Return where the value of a key starts and ends. Raises KeyError if the object lacks the key.

    White space around a value that is stored as JSON counts as part of it.

    >>> text = b'{"a":"x \\"b\\":1","b": [{"a":2}] ,"c":null}'
    >>> [text[slice(*found(text, key))] for key in "abc"]
    [b'"x \\"b\\":1"', b' [{"a":2}] ', b'null']
    """
    mark = _mark(key)
    at = text.find(mark)
    # A quotation mark in a text is escaped, so that this is a key wherever it appears: the object's own, if only once.
    start = at + len(mark)
    if at < 0 or text.find(mark, start) >= 0:
        start = _walked(text, mark)
    return start, _end(text, start)


def _walked(text: bytes, mark: bytes) -> int:
    """Return where the value of a key starts, if nested objects may have the same key."""
    at = 1
    while at < len(text) and text[at] == _QUOTE:
        start = _end_of_text(text, at) + 1
        if text[at:start] == mark:
            return start
        at = _end(text, start) + 1
    raise KeyError(mark.decode())


def _end(text: bytes, start: int) -> int:
    """Return where a value ends that starts here."""
    if text[start] == _QUOTE:
        end = _end_of_text(text, start)
    elif text.startswith(b"null", start):
        end = start + 4
    else:
        rest = text[start:].decode()
        end = start + len(rest[: exact.end(rest)].encode())
    while text[end] in _SPACE:
        end += 1
    return end


def _end_of_text(text: bytes, start: int) -> int:
    """Return where a text ends, after its quotation mark: the first that is not escaped."""
    at = start
    while True:
        at = text.index(b'"', at + 1)
        slashes = at
        while text[slashes - 1] == _BACKSLASH:
            slashes -= 1
        if (at - slashes) % 2 == 0:
            return at + 1


@cache
def _mark(key: str) -> bytes:
    return exact.write(key) + b":"
