"""Records and archives that are larger than their importer accepts. They are exported and reported."""

from __future__ import annotations

import math

from project_export.formats import Limits


def too_large(stored: int, unpacked: int, limits: Limits | None, *, expected: bool = False) -> tuple[str, ...]:
    """Return remarks on an archive.

    stored, unpacked: its size in bytes. limits: of its format, None for no limits. expected: the sizes are estimates.
    """
    about = "about " if expected else ""
    remarks = []
    if limits and unpacked > limits.unpacked:
        remarks.append(f"{about}{unpacked} bytes once unpacked: {limits.on_unpacked}")
    if limits and stored > limits.stored:
        remarks.append(f"an archive of {about}{stored} bytes: {limits.on_stored}")
    return tuple(remarks)


class Oversize:
    """Finds such records while a part is written. limits: of the format; None if every size is accepted."""

    def __init__(self, limits: Limits | None) -> None:
        self._limits = limits
        self._limit = limits.line if limits else math.inf
        self._begun = 0
        self._found = 0
        self._longest = 0

    def add(self, data: bytes, records: int) -> None:
        """Check the next piece. records: how many end in it, 0 if it continues one; a newline separates two records."""
        if records and self._begun + len(data) > self._limit:
            start = 0
            while start < len(data):
                newline = data.find(b"\n", start)
                end = newline if newline >= 0 else len(data)
                self._note(self._begun + end - start)
                self._begun, start = 0, end + 1
        self._begun = 0 if records else self._begun + len(data)

    @property
    def remarks(self) -> tuple[str, ...]:
        """Remarks on the part: one with the number of such records, if it has any."""
        if not self._limits or not self._found:
            return ()
        return (
            f"{self._found} record(s) over {self._limit} bytes, the longest of {self._longest}: {self._limits.on_line}",
        )

    def _note(self, size: int) -> None:
        if size > self._limit:
            self._found += 1
            self._longest = max(self._longest, size)
