"""What is wrong, doubtful or odd in an archive, collected so that a million alike take the room of one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

MOST_ALIKE = 20

PROBLEMS = {
    "damaged": "the archive cannot be read further",
    "name": "a name that is absolute, climbs, is too long, or is there twice",
    "kind": "a link or device, or the archive itself is a link",
    "mode": "a file with the setuid, setgid or sticky bit",
    "missing": "a file that the importer cannot do without",
    "version": "the format's version is not the importer's",
    "json": "a line that not every reader takes for the same JSON object",
    "lines": "more lines than one, or a last line without its end",
    "key": "an empty key",
    "type": "a value that is not of the type or form of its column",
    "nested": "something else where a nested record belongs",
    "nul": "a text that PostgreSQL refuses",
    "secret": "a key that looks like a secret's",
    "prohibited": "a key that the importer drops",
    "lost": "a record that the importer drops",
    "enum": "a name that the importer does not know",
    "position": "a position in a diff that the importer cannot read, or not complete",
    "rejected": "a key for which the importer rejects the record",
    "refused": "a value of the root that ends the whole import",
    "iid": "an iid a second time in its relation",
    "lfs": "LFS objects, their names and their list differ",
    "bundle": "a git bundle that is damaged, or needs another one",
    "limit": "over a limit of the importer's, or of what can be read",
    "manifest": "not as the manifest says",
}
# The application itself may write these: of old rows that its models would not accept today, or in an unknown version.
WARNINGS = {
    "dropped": "a key that the importer does not know; its value is lost",
    "unfit": "a value that the application writes and its importer does not take",
    "long": "a value longer or greater than the importer's models take",
    "cut": "a text that the importer cuts off",
}
REMARKS = {
    "absent": "a file that every export of the application has, but that the importer can do without",
    "form": "not as the application writes it, but read alike",
    "unknown": "nothing that the tree knows; the importer drops it unless it knows better",
}

Version = tuple[int, ...]


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with an archive (a problem), costs data on import (a warning) or is only odd (a remark).

    code: of PROBLEMS, WARNINGS or REMARKS. where: the file in the archive, with the number of the first line that has
    it if there is one, else the archive. count: how often it was found in this file.
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
    """Collects findings: of each code MOST_ALIKE within each file and MOST_ALIKE about whole files, then counts."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str], _Group] = {}

    def add(
        self, code: str, file: str, message: str, *, line: int = 0, about: object = None, since: Version = ()
    ) -> None:
        """Note a finding.

        line: from 1, 0 where there is none. about: findings of a code in a file that are about the same count as one;
        each line is its own by default. since: the version of the application from which on it counts; older archives
        may have it.
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
        """Return what is wrong with an archive of this version of the application; None counts as the newest."""
        return tuple(finding for finding in self._of(version) if finding.code in PROBLEMS)

    def warnings(self, version: Version | None) -> tuple[Finding, ...]:
        """Return what this version of the application may have written and its importer does not accept."""
        return tuple(finding for finding in self._of(version) if finding.code in WARNINGS)

    def remarks(self, version: Version | None) -> tuple[Finding, ...]:
        """Return what is odd in an archive of this version of the application."""
        return tuple(finding for finding in self._of(version) if finding.code in REMARKS)

    def _of(self, version: Version | None) -> Iterator[Finding]:
        for (code, file), group in self._groups.items():
            valid = [entry for entry in group.entries.values() if version is None or version >= entry.since]
            for entry in valid:
                yield Finding(code, entry.where, entry.message, entry.count)
            if group.more and valid:
                yield Finding(code, file or "other files", f"{group.more} more of this kind")
