"""Records longer than a line that GitLab's importer reads: they are exported all the same, and said loudly."""

from __future__ import annotations

from project_export.archive.importer import GITLAB


class Oversize:
    """Looks out for such records in what is written of a part, piece by piece. limit: bytes of a record at the most."""

    def __init__(self, limit: int = GITLAB.line) -> None:
        self._limit = limit
        self._begun = 0
        self._found = 0
        self._longest = 0

    def add(self, data: bytes, rows: int) -> None:
        """Look at the next piece, which ends `rows` records (0 when it continues one); a newline parts two of them."""
        if rows and self._begun + len(data) > self._limit:
            start = 0
            while start < len(data):
                newline = data.find(b"\n", start)
                end = newline if newline >= 0 else len(data)
                self._note(self._begun + end - start)
                self._begun, start = 0, end + 1
        self._begun = 0 if rows else self._begun + len(data)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is to be said of the part: nothing, or how many such records it has."""
        if not self._found:
            return ()
        return (
            f"{self._found} record(s) over {self._limit} bytes, the longest of {self._longest}: "
            "GitLab refuses an archive with such a line",
        )

    def _note(self, size: int) -> None:
        if size > self._limit:
            self._found += 1
            self._longest = max(self._longest, size)
