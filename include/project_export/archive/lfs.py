"""LFS objects: their list, and their files, each named by its SHA-256.

Facts: GitLab's lib/gitlab/import_export/lfs_saver.rb: {oid: [repository types]}, a file lfs-objects/<oid> for each.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any

from project_export.archive.findings import Findings
from project_export.formats.gitlab import LFS_OBJECTS

FOLDER = "lfs-objects/"

_OID = re.compile(r"[0-9a-f]{64}")
_REPOSITORY_TYPES = (None, 0, 1, 2)  # project, wiki, design; null for old rows


class LfsObjects:
    """Compares the LFS objects of an archive with its list. Keeps 32 bytes per object."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._listed: set[bytes] | None = None
        self._stored: set[bytes] = set()

    def listing(self, value: dict[str, Any]) -> None:
        """Add the content of lfs-objects.json."""
        self._listed = set()
        for oid, types in value.items():
            if not _OID.fullmatch(oid):
                self._problem(LFS_OBJECTS, f"{oid[:80]!r} is not a SHA-256 in hexadecimal digits")
                continue
            self._listed.add(bytes.fromhex(oid))
            if not isinstance(types, list) or any(
                isinstance(one, (bool, float)) or one not in _REPOSITORY_TYPES for one in types
            ):
                self._problem(LFS_OBJECTS, f"the value of {oid} is not a list of repository types (0, 1, 2)")

    def file(self, name: str, chunks: Iterable[bytes]) -> None:
        """Add a file of the folder. chunks: its content."""
        oid = name.removeprefix(FOLDER)
        hashed = hashlib.sha256()
        for chunk in chunks:
            hashed.update(chunk)
        if not _OID.fullmatch(oid):
            self._problem(name, "its name is not a SHA-256")
            return
        self._stored.add(bytes.fromhex(oid))
        if hashed.hexdigest() != oid:
            self._problem(name, f"the SHA-256 of its content is {hashed.hexdigest()}")

    def end(self) -> None:
        """Compare list and files, once the archive has been read."""
        if self._listed is None:
            return
        for oid in sorted(self._listed - self._stored):
            self._problem(LFS_OBJECTS, f"{oid.hex()} has no file {FOLDER}{oid.hex()}")
        for oid in sorted(self._stored - self._listed):
            self._problem(LFS_OBJECTS, f"{FOLDER}{oid.hex()} is not listed, so it is not imported")

    def _problem(self, file: str, message: str) -> None:
        self._findings.add("lfs", file, message)
