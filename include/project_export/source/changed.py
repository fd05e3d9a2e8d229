"""The document of a table row that is too large to be parsed, with those values changed that need it.

The record passes piece by piece. A value that has to be changed is held in memory up to LONGEST bytes. A longer text
that can be decoded in pieces is held in a temporary file, and one from outside the database is read from there: a diff
of 60 MB that is stored as base64 is never whole.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import BinaryIO

from project_export.coders import exact
from project_export.source.batches import Row
from project_export.source.members import Members
from project_export.source.node import Node
from project_export.source.own import Own
from project_export.source.sql import LONGEST
from project_export.source.temporary import Temporary
from project_export.source.values import BLANK, ELSEWHERE, SPACES

_PIECE = 3 << 18
"""Bytes of a large text that are read at once; a multiple of four, for base64."""
_BASE64 = re.compile(rb"[A-Za-z0-9+/]*={0,2}")
_DECODED = "base64_text"

Texts = Callable[[], Iterator[bytes]]
"""Yields the bytes of a text in pieces of _PIECE bytes, as often as it is called."""


class Changed:
    """Changes the document of one row. row: without the record. temporary: where a large text is held."""

    def __init__(self, own: Own, node: Node, row: Row, temporary: Temporary) -> None:
        self._own = own
        self._node = node
        self._row = row
        self._temporary = temporary
        self._changes = own.changes(node, row)
        self._given = own.given(node.parameters)
        self._wanted = {*self._changes, *self._given}
        self._members = Members(self._wanted)
        self._begun = bytearray()
        self._file: BinaryIO | None = None

    def pieces(self, data: bytes, *, ends: bool) -> Iterator[bytes]:
        """Yield what the next bytes of the record become; the last brace is left out. ends: whether they are the last.

        Raises SourceRefused, TemporaryRefused, and what reading a location raises.
        """
        if not self._wanted:
            yield data[:-1] if ends else data
            return
        for key, piece, complete in self._members.feed(data):
            if key is None:
                yield piece
            elif key in self._given:
                yield exact.write(self._given[key]) if complete else b""
            else:
                self._hold(key, piece)
                if complete:
                    yield from self._changed(key)

    def close(self) -> None:
        """Remove the temporary file, if the record did not end."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _hold(self, key: str, piece: bytes) -> None:
        self._begun += piece
        large = self._file is not None or (len(self._begun) > LONGEST and self._begun.startswith(b'"'))
        if large and self._transforms(key) <= {_DECODED, BLANK}:
            self._drain()

    def _drain(self) -> BinaryIO:
        with self._temporary.refusals():
            self._file = self._file or self._temporary.open()
            while self._begun:
                del self._begun[: self._file.write(self._begun)]
        return self._file

    def _transforms(self, key: str) -> set[str]:
        return {transform for transform, _ in self._changes[key].steps}

    def _changed(self, key: str) -> Iterator[bytes]:
        """Yield the JSON text of a value that has arrived, changed."""
        if self._file is not None:
            file = self._drain()
            size = file.tell() - 2  # without the quotes
            yield from self._text(key, lambda: self._held(file, size), escaped=True)
            self.close()
            return
        stored = bytes(self._begun)
        self._begun.clear()
        path = f"{self._node.path}.{key}"
        outside = ELSEWHERE in self._transforms(key) <= {ELSEWHERE, _DECODED, BLANK}
        value = exact.read(stored.decode()) if outside else {}
        if outside and (value["size"] or 0) > LONGEST and self._own.found(path, **value):
            pieces = partial(self._own.pieces, piece=_PIECE, **value)
            yield from self._text(key, pieces, escaped=False)
        else:
            yield self._own.changed(self._node, self._row, self._changes[key], stored)

    def _text(self, key: str, texts: Texts, *, escaped: bool) -> Iterator[bytes]:
        """Yield the JSON text of a large text, changed. escaped: whether its bytes are those of a JSON string."""
        steps = dict(self._changes[key].steps)
        decoded = _DECODED in steps and _is_base64(texts())
        if escaped and not decoded:  # the statement has looked for white space
            yield b'"'
            yield from texts()
            yield b'"'
            return
        if BLANK in steps and not any(text.strip(SPACES) for text in _decoded(texts(), encoded=decoded)):
            yield (steps[BLANK] or "null").encode()
            return
        yield b'"'
        for text in _decoded(texts(), encoded=decoded):
            yield exact.write(text)[1:-1]
        yield b'"'

    def _held(self, file: BinaryIO, size: int) -> Iterator[bytes]:
        for at in range(0, size, _PIECE):
            with self._temporary.refusals():
                piece = os.pread(file.fileno(), min(_PIECE, size - at), 1 + at)
            yield piece


def _decoded(pieces: Iterator[bytes], *, encoded: bool) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for piece in pieces:
        yield decoder.decode(binascii.a2b_base64(piece) if encoded else piece)
    yield decoder.decode(b"", final=True)


def _is_base64(pieces: Iterator[bytes]) -> bool:
    """Return whether a text is base64 as `decode_base64` accepts it."""
    last = b""
    for piece in pieces:
        if len(last) % 4 or last.endswith(b"=") or not _BASE64.fullmatch(piece):
            return False
        last = piece
    return not len(last) % 4 and base64.b64encode(base64.b64decode(last[-4:])) == last[-4:]
