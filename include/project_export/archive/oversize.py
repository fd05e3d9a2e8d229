"""Records and archives larger than GitLab's importer takes: they are exported all the same, and said loudly."""

from __future__ import annotations

from project_export.archive.importer import GIB, GITLAB, Limits


def too_large(stored: int, unpacked: int, limits: Limits = GITLAB) -> tuple[str, ...]:
    """What is to be said of an archive of so many bytes, before and after it is unpacked."""
    remarks = []
    if unpacked > limits.unpacked:
        remarks.append(
            f"{unpacked} bytes once unpacked: GitLab refuses more than {limits.unpacked / GIB:g} GiB until its "
            "setting max_decompressed_archive_size is raised"
        )
    if stored > limits.stored:
        remarks.append(
            f"an archive of {stored} bytes: GitLab.com refuses more than {limits.stored / GIB:g} GiB, another GitLab "
            "more than its setting max_import_size says"
        )
    return tuple(remarks)


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
