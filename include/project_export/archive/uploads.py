"""Uploads that texts name, and those that the archive has.

Facts: GitLab's app/uploaders/file_uploader.rb: Markdown names an upload as /uploads/<secret>/<file>.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from project_export.archive.findings import Findings

FILE = re.compile(r"uploads/([0-9a-f]{10,32})/[^/]+")

_NAMED = re.compile(rb"/uploads/([0-9a-f]{10,32})/")
_LONGEST = len(b"/uploads//") + 32


class Uploads:
    """Compares the secrets in texts with those of the archive's uploads. Keeps a few dozen bytes for each."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._named: dict[bytes, str] = {}
        self._stored: set[bytes] = set()

    def records(self, name: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the content of a file with records, and note which uploads it names."""
        before = b""
        for chunk in chunks:
            data = before + chunk
            for found in _NAMED.finditer(data):
                self._named.setdefault(found[1], name)
            before = data[-_LONGEST:]
            yield chunk

    def file(self, name: str) -> bool:
        """Note a file of the archive; return whether it is an upload."""
        found = FILE.fullmatch(name)
        if found:
            self._stored.add(found[1].encode())
        return found is not None

    def end(self) -> None:
        """Report the uploads that texts name and the archive lacks."""
        for secret, name in self._named.items():
            if secret not in self._stored:
                self._findings.add("upload", name, f"names uploads/{secret.decode()}/, which is not in the archive")
