"""The other files of GitLab's archives: versions, LFS objects, bundles, uploads."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from project_export.archive.bundles import BundleCheck
from project_export.archive.contents import Contents
from project_export.archive.findings import Findings
from project_export.archive.lfs import FOLDER, LfsObjects
from project_export.archive.uploads import Uploads
from project_export.formats.gitlab import FORMAT_VERSION, GITLAB_REVISION, GITLAB_VERSION, LFS_OBJECTS, VERSION
from project_export.tree import Tree

LONGEST_VERSION = 256

_VERSION_LINE = re.compile(rb"[\w.+-]+")
_BUNDLE = re.compile(r"[^/]+\.bundle|snippets/[^/]+\.bundle")
_OTHER_FOLDERS = ("avatar/", "snippets/")


class GitlabFiles:
    """Checks these files; see `Extras`."""

    def __init__(self, tree: Tree, contents: Contents, findings: Findings, bundles: BundleCheck) -> None:
        self._bundles = bundles
        self.version: str | None = None
        self._folder = f"tree/{tree.root.name}"
        self._contents = contents
        self._findings = findings
        self._lfs = LfsObjects(findings)
        self._uploads = Uploads(findings)

    def records(self, name: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Read along with the records: they name uploads."""
        return self._uploads.records(name, chunks)

    def file(self, name: str, chunks: Iterator[bytes]) -> bool:
        """Check a file; return False if GitLab's importer does not read it."""
        if name == VERSION:
            self._format_version(next(chunks, b"")[:LONGEST_VERSION])
        elif name in (GITLAB_VERSION, GITLAB_REVISION):
            self._application_version(name, next(chunks, b"")[:LONGEST_VERSION])
        elif name == LFS_OBJECTS:
            listing = self._contents.document(name, chunks)
            if listing is not None:
                self._lfs.listing(listing)
        elif name.startswith(FOLDER):
            self._lfs.file(name, chunks)
        elif _BUNDLE.fullmatch(name):
            for problem in self._bundles(chunks):
                self._findings.add("bundle", name, problem)
        else:
            return name.startswith(_OTHER_FOLDERS) or self._uploads.file(name)
        return True

    def end(self, files: Collection[str]) -> None:
        """Check that no file is missing, and compare the LFS objects with their list."""
        if VERSION not in files:
            self._findings.add("missing", VERSION, "missing")
        if not any(name.startswith(f"{self._folder}/") and name.endswith(".ndjson") for name in files):
            self._findings.add("missing", self._folder, "without a file of any relation")
        for name in (GITLAB_VERSION, GITLAB_REVISION, LFS_OBJECTS):
            if name not in files:
                self._findings.add("absent", name, "missing")
        self._lfs.end()
        self._uploads.end()

    def stored(self, path: Path) -> None:
        """Check the type and the name of the archive's file."""
        if path.is_symlink():
            self._findings.add("kind", path.name, "a symbolic link; GitLab only accepts files")
        if not path.name.endswith(".gz"):
            self._findings.add("limit", path.name, "GitLab only accepts files named .tar.gz or .gz")

    def _format_version(self, content: bytes) -> None:
        first = content.split(b"\n")[0]
        if first.strip() != FORMAT_VERSION.encode():
            self._findings.add("version", VERSION, f"{first!r}; the importer only accepts {FORMAT_VERSION}")
        elif first != content:
            self._findings.add("form", VERSION, "text after the version")

    def _application_version(self, name: str, content: bytes) -> None:
        if not _VERSION_LINE.fullmatch(content):
            self._findings.add("form", name, f"{content!r} is not what GitLab writes here")
        if name == GITLAB_VERSION:
            self.version = content.decode("utf-8", "replace").strip()
