"""What deltas have, on disk: their records by merge key, their files by name, the newest of each."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from project_export.archive.keyed import BLOCK, Line
from project_export.errors import ArchiveBroken

_TABLES = """
    CREATE TABLE record (
        relation TEXT, key TEXT, number INTEGER, delta INTEGER, start INTEGER, size INTEGER, used INTEGER DEFAULT 0,
        PRIMARY KEY (relation, key, number)
    ) WITHOUT ROWID;
    CREATE TABLE file (name TEXT PRIMARY KEY, relation TEXT, delta INTEGER, start INTEGER, size INTEGER) WITHOUT ROWID;
"""


class Replacements:
    """Keeps what replaces or follows the content of a base, in two files of a folder. A context manager.

    Several records of one archive may have the same merge key. The nth of a delta replaces the nth of the base.
    """

    def __init__(self, folder: Path) -> None:
        self._spool = (folder / "records").open("w+b")
        self._end = 0
        self._index = sqlite3.connect(folder / "index.sqlite", isolation_level=None)
        self._index.executescript(f"PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; {_TABLES} BEGIN;")

    def __enter__(self) -> Replacements:
        return self

    def __exit__(self, *_: object) -> None:
        self._index.close()
        self._spool.close()

    def add_records(self, delta: int, relation: str, found: Iterable[Line], names: Sequence[str]) -> None:
        """Add the records of a relation of a delta; they replace those of earlier ones.

        delta: its number, in the order of export. Raises ArchiveBroken if it has fewer records with the same key than
        an earlier delta: which of them it replaces is unknown.
        """
        for line in found:
            key = line.key(names)
            number = self._one(
                "SELECT count(*) FROM record WHERE relation = ? AND key = ? AND delta = ?", relation, key, delta
            )
            start, size = self._add(line.blocks())
            self._index.execute(
                "INSERT OR REPLACE INTO record (relation, key, number, delta, start, size) VALUES (?, ?, ?, ?, ?, ?)",
                (relation, key, number, delta, start, size),
            )
        fewer = self._index.execute(
            "SELECT key FROM record WHERE relation = ? GROUP BY key HAVING max(delta) = ? AND min(delta) < ?",
            (relation, delta, delta),
        ).fetchone()
        if fewer is not None:
            raise _ambiguous(relation, fewer[0])

    def add_file(self, delta: int, relation: str, name: str, chunks: Iterable[bytes]) -> None:
        """Add a file of a delta; it replaces one of the same name."""
        start, size = self._add(chunks)
        self._index.execute("INSERT OR REPLACE INTO file VALUES (?, ?, ?, ?, ?)", (name, relation, delta, start, size))

    def forget(self, relation: str) -> None:
        """Forget what earlier deltas have of a relation."""
        self._index.execute("DELETE FROM file WHERE relation = ?", (relation,))
        self._index.execute("DELETE FROM record WHERE relation = ?", (relation,))

    def replacing(self, relation: str, key: str) -> Iterator[bytes] | None:
        """Return the record that replaces the next one of the base with this key; None if no delta has such a record.

        Raises ArchiveBroken if the deltas have some, but fewer than the base.
        """
        found = self._index.execute(
            "SELECT number, start, size FROM record WHERE relation = ? AND key = ? AND NOT used ORDER BY number",
            (relation, key),
        ).fetchone()
        if found is None:
            if self._one("SELECT count(*) FROM record WHERE relation = ? AND key = ?", relation, key):
                raise _ambiguous(relation, key)
            return None
        number, start, size = found
        self._index.execute(
            "UPDATE record SET used = 1 WHERE relation = ? AND key = ? AND number = ?", (relation, key, number)
        )
        return self._read(start, size)

    def added(self, relation: str) -> Iterator[Iterator[bytes]]:
        """Yield the records that have replaced none, in the order of the deltas."""
        left = self._index.execute(
            "SELECT start, size FROM record WHERE relation = ? AND NOT used ORDER BY start", (relation,)
        )
        for start, size in left:
            yield self._read(start, size)

    def has_file(self, name: str) -> bool:
        """Return whether a delta has a file."""
        return bool(self._one("SELECT count(*) FROM file WHERE name = ?", name))

    def files(self, relation: str) -> Iterator[tuple[str, int, Iterator[bytes]]]:
        """Yield name, size and content of the files of a relation, in the order of the deltas."""
        found = self._index.execute("SELECT name, start, size FROM file WHERE relation = ? ORDER BY start", (relation,))
        for name, start, size in found:
            yield name, size, self._read(start, size)

    def _add(self, blocks: Iterable[bytes]) -> tuple[int, int]:
        start = self._end
        self._spool.seek(start)
        for block in blocks:
            self._spool.write(block)
            self._end += len(block)
        return start, self._end - start

    def _read(self, start: int, size: int) -> Iterator[bytes]:
        while size:
            self._spool.seek(start)
            block = self._spool.read(min(size, BLOCK))
            start, size = start + len(block), size - len(block)
            yield block

    def _one(self, query: str, *values: object) -> int:
        return int(self._index.execute(query, values).fetchone()[0])


def _ambiguous(relation: str, key: str) -> ArchiveBroken:
    return ArchiveBroken(
        f"{relation}: several records have the merge key {key}, and a later archive has fewer of them. It is unknown "
        "which of them it replaces. Export the project as a whole."
    )
