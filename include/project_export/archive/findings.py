"""Findings about an archive: problems, warnings and remarks. A million similar ones take the memory of one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

MOST_ALIKE = 20

PROBLEMS = {
    "damaged": "the archive cannot be read further",
    "name": "a name that is absolute, contains `..`, is too long, or occurs twice",
    "kind": "a link or device, or the archive itself is a link",
    "mode": "a file with the setuid, setgid or sticky bit",
    "missing": "a file that the importer needs",
    "version": "not the format version that the importer accepts",
    "json": "a line that is not a JSON object, or that JSON parsers read differently",
    "lines": "more than one line, or a last line without a newline",
    "key": "an empty key",
    "type": "a value that does not have the type or form of its column",
    "nested": "another value instead of a nested record",
    "nul": "a text that PostgreSQL rejects",
    "secret": "a key that looks like that of a secret",
    "prohibited": "a key that the importer drops",
    "lost": "a record that the importer drops",
    "enum": "a name that the importer does not know",
    "position": "a position in a diff that is incomplete or that the importer cannot read",
    "rejected": "a key that makes the importer reject the record",
    "refused": "a value of the root that makes the whole import fail",
    "iid": "an iid that occurs twice in its relation",
    "lfs": "LFS objects that do not match their names or their list",
    "bundle": "a git bundle that is damaged or needs another one",
    "limit": "over a limit of the importer or of `verify`",
    "manifest": "different from the manifest",
}
# The application itself may write these: from old rows that its models no longer accept, or in an unknown version.
WARNINGS = {
    "dropped": "a key that the importer does not know and drops",
    "unfit": "a value that the application writes but its importer rejects",
    "long": "a value that is longer or greater than the importer's models accept",
    "cut": "a text that the importer truncates",
    "lacking": "a file that the source names and the export left out, by the manifest",
}
REMARKS = {
    "absent": "a file that every export of the application has but the importer does not need",
    "upload": "a text names an upload that is not in the archive: it was deleted, or belongs to another project",
    "form": "not as the application writes it, but read the same way",
    "unknown": "unknown to the tree; unless the importer knows it, it is dropped",
}

Version = tuple[int, ...]


@dataclass(frozen=True)
class Finding:
    """Something wrong with an archive (a problem), that loses data on import (a warning), or that is odd (a remark).

    code: a key of PROBLEMS, WARNINGS or REMARKS. where: the file in the archive, with the number of the first affected
    line if there is one, or the archive. count: how often it occurs in this file.
    """

    code: str
    where: str
    message: str
    count: int = 1

    def __str__(self) -> str:
        often = f" ({self.count} times)" if self.count > 1 else ""
        return f"{self.where}: {self.message}{often} [{self.code}]"


@dataclass
class _Entry:
    where: str
    message: str
    since: Version
    count: int = 1


@dataclass
class _Group:
    entries: dict[object, _Entry] = field(default_factory=dict)
    more: int = 0


class Findings:
    """Collects findings. Keeps MOST_ALIKE per code and file, and per code about whole files; only counts the others."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str], _Group] = {}

    def add(
        self, code: str, file: str, message: str, *, line: int = 0, about: object = None, since: Version = ()
    ) -> None:
        """Add a finding.

        line: from 1, or 0 if it concerns the whole file. about: findings with the same code, file and `about` count as
        one; by default each line is separate. since: the first version of the application for which it counts; archives
        of older versions may have it.
        """
        group = self._groups.setdefault((code, file if about or line else ""), _Group())
        subject = about or line or (file, message)
        if known := group.entries.get(subject):
            known.count += 1
        elif len(group.entries) < MOST_ALIKE:
            group.entries[subject] = _Entry(f"{file}:{line}" if line else file, message, since)
        else:
            group.more += 1

    def problems(self, version: Version | None) -> tuple[Finding, ...]:
        """Return the problems of an archive of this version of the application; None counts as the newest."""
        return tuple(finding for finding in self._of(version) if finding.code in PROBLEMS)

    def warnings(self, version: Version | None) -> tuple[Finding, ...]:
        """Return the warnings about an archive of this version; None counts as the newest."""
        return tuple(finding for finding in self._of(version) if finding.code in WARNINGS)

    def remarks(self, version: Version | None) -> tuple[Finding, ...]:
        """Return the remarks on an archive of this version; None counts as the newest."""
        return tuple(finding for finding in self._of(version) if finding.code in REMARKS)

    def _of(self, version: Version | None) -> Iterator[Finding]:
        for (code, file), group in self._groups.items():
            valid = [entry for entry in group.entries.values() if version is None or version >= entry.since]
            for entry in valid:
                yield Finding(code, entry.where, entry.message, entry.count)
            if group.more and valid:
                yield Finding(code, file or "other files", f"{group.more} more of this kind")
