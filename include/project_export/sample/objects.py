"""Git's objects, made without git: the same content always has the same id, whether or not a repository is written.

The formats are described in git's Documentation/user-manual.txt ("Object storage format"): an id is the SHA-1 of an
object's kind, its length and its content.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

FILE, FOLDER = b"100644", b"40000"


class Sink(Protocol):
    """What takes the objects of a repository."""

    def add(self, kind: str, content: bytes) -> None:
        """Take an object; kind: blob, tree, commit or tag."""
        ...


class Folder(NamedTuple):
    """A tree object. entries: by name, a folder or the id of a file's content."""

    id: str
    entries: Mapping[str, Folder | str]


class Person(NamedTuple):
    """An author, committer or tagger; both values may be empty, as in commits that come from elsewhere."""

    name: str
    email: str


class Signature(NamedTuple):
    """Who did something, and when; Git keeps whole seconds."""

    by: Person
    at: datetime

    def __str__(self) -> str:
        return f"{self.by.name} <{self.by.email}> {int(self.at.timestamp())} +0000"


class Commit(NamedTuple):
    """A commit's id and its files, which its children change."""

    id: str
    files: Folder


class Objects:
    """Makes the objects of one repository and hands each of them to a sink once, if there is one.

    borrowed: ids of objects that the repository reads from another one and does not store itself.
    """

    def __init__(self, sink: Sink | None = None, borrowed: Iterable[str] = ()) -> None:
        self._sink = sink
        self.stored = set(borrowed)
        """The ids of all objects, borrowed ones included; empty without a sink."""

    def blob(self, content: bytes) -> str:
        """Return the id of a file's content."""
        return self._made("blob", content)

    def with_file(self, folder: Folder | None, path: str, blob: str) -> Folder:
        """Return a copy of a folder (None: an empty one) in which a file is new or replaced. blob: its content's id."""
        name, _, rest = path.partition("/")
        entries = dict(folder.entries) if folder else {}
        if rest:
            inner = entries.get(name)
            entries[name] = self.with_file(inner if isinstance(inner, Folder) else None, rest, blob)
        else:
            entries[name] = blob
        return self._folder(entries)

    def without_file(self, folder: Folder, path: str) -> Folder:
        """Return a copy of a folder without a file; inner folders that become empty are dropped, as Git does."""
        name, _, rest = path.partition("/")
        entries = dict(folder.entries)
        inner = entries.pop(name)
        if rest and isinstance(inner, Folder):
            left = self.without_file(inner, rest)
            if left.entries:
                entries[name] = left
        return self._folder(entries)

    def merged(self, folder: Folder, other: Folder) -> Folder:
        """Return a folder with the files of both; a file of both has the content that it has in the other one."""
        if folder.id == other.id:
            return folder
        entries = dict(folder.entries)
        for name, entry in other.entries.items():
            mine = entries.get(name)
            if isinstance(mine, Folder) and isinstance(entry, Folder):
                entry = self.merged(mine, entry)
            entries[name] = entry
        return self._folder(entries)

    def commit(
        self,
        parents: Sequence[Commit],
        files: Folder,
        author: Signature,
        message: str,
        committer: Signature | None = None,
    ) -> Commit:
        """Return a new commit. committer: the author, if there is no other."""
        head = [f"tree {files.id}", *(f"parent {parent.id}" for parent in parents)]
        head += [f"author {author}", f"committer {committer or author}", "", message]
        return Commit(self._made("commit", "\n".join(head).encode()), files)

    def tag(self, name: str, commit: Commit, tagger: Signature, message: str) -> str:
        """Return the id of an annotated tag."""
        return self._made(
            "tag", f"object {commit.id}\ntype commit\ntag {name}\ntagger {tagger}\n\n{message}\n".encode()
        )

    def _folder(self, entries: Mapping[str, Folder | str]) -> Folder:
        lines = []
        for name, entry in entries.items():
            stored = name.encode()
            if isinstance(entry, Folder):
                lines.append((stored + b"/", FOLDER, stored, entry.id))
            else:
                lines.append((stored, FILE, stored, entry))
        lines.sort()  # a folder is sorted as if its name ended with a slash
        content = b"".join(b"%s %s\0%s" % (mode, name, bytes.fromhex(of)) for _, mode, name, of in lines)
        return Folder(self._made("tree", content), entries)

    def _made(self, kind: str, content: bytes) -> str:
        made = object_id(kind, content)
        if self._sink is not None and made not in self.stored:
            self.stored.add(made)
            self._sink.add(kind, content)
        return made


def object_id(kind: str, content: bytes) -> str:
    """Return the id of an object, 40 hex digits.

    >>> object_id("blob", b"")
    'e69de29bb2d1d6434b8b29ae775ad8c2e48c5391'
    """
    return hashlib.sha1(b"%s %d\0%s" % (kind.encode(), len(content), content), usedforsecurity=False).hexdigest()
