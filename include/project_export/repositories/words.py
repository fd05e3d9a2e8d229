"""Git's own words for a message: bounded, on one line, without credentials."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from project_export.credentials import without_credentials

HEAD = TAIL = 1000
"""Bytes kept of the start and of the end of what git writes to stderr."""

_BREAKS = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+")


class Words:
    """Keeps the start and the end of a stream; the memory does not grow with it."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = bytearray()

    def add(self, data: bytes) -> None:
        """Take the next bytes of the stream."""
        room = HEAD - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        del self._tail[:-TAIL]

    def text(self, secrets: Iterable[str] = (), shown: Mapping[str, str] | None = None) -> str:
        """Return the words. secrets: replaced by ***, also as part of a URL. shown: paths and what to show for them."""
        gap = b" ... " if len(self._tail) == TAIL else b""
        text = (bytes(self._head) + gap + bytes(self._tail)).decode("utf-8", "replace")
        for path, name in (shown or {}).items():
            text = text.replace(path, name)
        return one_line(without_credentials(text, secrets))


def one_line(text: str) -> str:
    """Return the text without line breaks and control characters, with its lines separated by `; `.

    >>> one_line("error: bad\\x1b[0m\\nfatal: worse\\n")
    'error: bad [0m; fatal: worse'
    """
    return "; ".join(line for line in (_BREAKS.sub(" ", line).strip() for line in text.splitlines()) if line)
