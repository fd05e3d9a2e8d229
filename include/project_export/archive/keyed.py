"""Records of an archive as lines, and the merge keys that identify them, in bounded memory."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import IO, Any

import orjson

from project_export.errors import ArchiveBroken

BLOCK = 256 << 10
_IN_MEMORY = 4 << 20
_DECODER = json.JSONDecoder()


class Line:
    """A record with its newline; one that is large is in a temporary file, until it is closed."""

    def __init__(self, data: bytes, file: IO[bytes] | None = None) -> None:
        self._data = data
        self._file = file

    def blocks(self) -> Iterator[bytes]:
        """Yield its bytes."""
        if self._file is None:
            yield self._data
            return
        at = 0
        while True:
            self._file.seek(at)
            block = self._file.read(BLOCK)
            if not block:
                return
            at += len(block)
            yield block

    def close(self) -> None:
        """Remove the temporary file, if there is one."""
        if self._file is not None:
            self._file.close()

    def key(self, names: Sequence[str]) -> str:
        """Return the values of these keys as JSON. Raises ArchiveBroken if the record lacks one of them."""
        if self._file is None:
            try:
                record = orjson.loads(self._data)
            except orjson.JSONDecodeError as error:
                raise ArchiveBroken(f"a record is not JSON: {error}") from error
            found = record if isinstance(record, dict) else {}
        else:
            found = self._first(set(names))
        missing = [name for name in names if name not in found]
        if missing:
            raise ArchiveBroken(f"a record lacks the merge key {', '.join(missing)}")
        return json.dumps([found[name] for name in names], ensure_ascii=False)

    def _first(self, names: set[str]) -> dict[str, Any]:
        """Return the values of a large record up to the last of these keys, which precede its nested records."""
        assert self._file is not None
        size = _IN_MEMORY
        while True:
            self._file.seek(0)
            head = self._file.read(size)
            found = _values(head.decode("utf-8", "ignore"), names)
            if names <= found.keys() or len(head) < size:
                return found
            size *= 2


def _values(text: str, names: set[str]) -> dict[str, Any]:
    """Return values of an object whose text may be cut off, until all names are found."""
    found: dict[str, Any] = {}
    at = 1
    try:
        while not names <= found.keys():
            name, at = _DECODER.raw_decode(text, at)
            value, at = _DECODER.raw_decode(text, at + 1)
            end = text[at]  # without it, the value may be a number that goes on
            found[name] = value
            if end != ",":
                break
            at += 1
    except (json.JSONDecodeError, IndexError):
        pass  # the text ends here
    return found


def lines(chunks: Iterable[bytes], folder: Path) -> Iterator[Line]:
    """Yield the records of a file; each is closed when the next one is read. folder: for temporary files."""
    begun = bytearray()
    spilled: IO[bytes] | None = None
    for chunk in chunks:
        start = 0
        while start < len(chunk):
            end = chunk.find(b"\n", start) + 1
            begun += chunk[start : end or len(chunk)]
            start = end or len(chunk)
            if spilled is not None or (not end and len(begun) > _IN_MEMORY):
                spilled = spilled or tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - the line closes it
                spilled.write(begun)
                begun.clear()
            if end:
                with closing(Line(bytes(begun), spilled)) as line:
                    yield line
                begun.clear()
                spilled = None
    if begun or spilled is not None:
        with closing(Line(bytes(begun), spilled)) as line:
            yield line
