"""The repositories beside a project's own: its wiki, its designs, and its snippets.

Some are empty, as GitLab makes them before the first commit, and some do not exist.
"""

from __future__ import annotations

from collections.abc import Mapping

from project_export.sample.contents import image
from project_export.sample.disk import Disk, hashed
from project_export.sample.objects import Commit, Signature
from project_export.sample.repository import Repository

ATTRIBUTES = {".gitattributes": b"/designs/* filter=lfs diff=lfs merge=lfs -text\n"}
"""What GitLab writes into a repository of designs."""


def add_wiki(disk: Disk | None, path: str, files: Mapping[str, bytes], empty: bool) -> None:
    """Write a project's wiki. path: the project's disk path. files: what it has besides pages."""
    wiki = Repository(disk, f"{path}.wiki")
    if not empty:
        home = {"home.md": "# Wiki\n\nStart [here](“first”-page)\n".encode(), **files}
        first = wiki.commit([], home, "Create home\n")
        wiki.branch("main", wiki.commit([first], {"“first”-page.md": b"Text\n"}, "Create a page\n"))
    wiki.write()


def add_snippet(disk: Disk | None, number: int, name: str, content: str, empty: bool) -> str:
    """Write a snippet's repository and return its disk path. number: its id. name, content: of its first file."""
    snippet = Repository(disk, hashed("@snippets", number))
    if not empty:
        first = snippet.commit([], {name: content.encode()}, "Initial commit\n")
        more = {"more/second file.txt": f"File 2 of snippet {number}\n".encode()}
        snippet.branch("main", snippet.commit([first], more, "Add a file\n") if number % 2 else first)
    snippet.write()
    return snippet.path


class Designs:
    """A project's repository of designs: each version of designs is a commit.

    path: the project's disk path. lfs: the pointer of an LFS object, which is what the first changed design becomes.
    """

    def __init__(self, disk: Disk | None, path: str, lfs: bytes) -> None:
        self._repository = Repository(disk, f"{path}.design")
        self._lfs: bytes | None = lfs
        self._latest: Commit | None = None

    def add(self, issue: int, names: list[str], seeds: list[str], nonce: str, by: Signature) -> str:
        """Add designs to an issue and return the commit's id. issue: its iid. seeds: of their images."""
        changes = {_path(issue, name): image(seed) for name, seed in zip(names, seeds, strict=True)}
        if self._latest is None:
            changes |= ATTRIBUTES
        made = self._repository.commit([self._latest] if self._latest else [], changes, _message("Add", nonce), by)
        return self._moved(made)

    def change(self, issue: int, changed: str, deleted: str, nonce: str, by: Signature) -> str:
        """Change one design of an issue, delete another, and return the commit's id."""
        assert self._latest
        objects = self._repository.objects
        content, self._lfs = self._lfs or image(nonce), None
        files = objects.with_file(self._latest.files, _path(issue, changed), objects.blob(content))
        files = objects.without_file(files, _path(issue, deleted))
        return self._moved(objects.commit([self._latest], files, by, _message("Change", nonce)))

    def write(self) -> None:
        """Write the repository; it is empty if no issue has designs."""
        self._repository.write()

    def _moved(self, commit: Commit) -> str:
        self._latest = commit
        self._repository.branch("main", commit)
        return commit.id


def _path(issue: int, name: str) -> str:
    return f"designs/issue-{issue}/{name}"


def _message(what: str, nonce: str) -> str:
    return f"{what} designs\n\nChange-Id: I{nonce}\n"
