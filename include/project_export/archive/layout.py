"""The files of an archive and their names: first those of its format, then the records.

Facts: exports of GitLab 16.11 to 18.9 and GitLab's lib/gitlab/import_export (json/ndjson_writer.rb).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from project_export.archive.pieces import Member, Run, StoredPart
from project_export.errors import ArchiveBroken
from project_export.tree.content import Content


def root_file(root: str) -> str:
    """Return the name of the file with the record of the tree's root, such as tree/project.json."""
    return f"tree/{root}.json"


def relation_file(root: str, relation: str) -> str:
    """Return the name of the file with the records of a relation, such as tree/project/issues.ndjson."""
    return f"tree/{root}/{relation}.ndjson"


@dataclass(frozen=True)
class Exported:
    """A relation with its parts in order.

    one: whether it is one-to-one. content: where its files come from, None for a relation of records.
    """

    name: str
    one: bool
    parts: tuple[StoredPart, ...]
    content: Content | None = None

    def file(self, root: str) -> str | None:
        """Return the name of its file; None if it has several. root: name of the tree's root."""
        if self.content is not None:
            return self.content.name.fixed
        return root_file(root) if self.name == root else relation_file(root, self.name)

    def member(self, root: str) -> Member | Run:
        """Return its file, or its run of files. root: name of the tree's root."""
        name = self.file(root)
        return Run(_folders(self), self.parts) if name is None else Member(name, parts=self.parts)


def members(fixed: Mapping[str, str], root: str, relations: Sequence[Exported]) -> list[Member | Run]:
    """Return the files of an archive, in order.

    fixed: texts by name, which come first; see `Format.written`. root: name of the tree's root, which must be one of
    `relations`.
    Relations of files and bundles have what was found, which may be nothing. A relation of many records without any has
    no file. The root and one-to-one relations always have a file: their part is the object or `null`, without a
    newline. Raises ArchiveBroken if such a part is empty or the root is missing.
    """
    files: list[Member | Run] = [Member(name, data=text.encode()) for name, text in fixed.items()]
    if root not in (relation.name for relation in relations):
        raise ArchiveBroken(f"The archive lacks its root {root!r}. Export it together with the relations.")
    for relation in relations:
        name, member = relation.file(root), relation.member(root)
        if member.size:
            files.append(member)
        elif relation.content is None and (relation.one or relation.name == root):
            raise ArchiveBroken(
                f"{name} would be empty: its part must hold an object or null. Export {relation.name} again."
            )
    return files


def _folders(relation: Exported) -> tuple[str, ...]:
    """Return the folder above a relation's files."""
    first = relation.content.name.pieces[0] if relation.content else ""
    folder = first.rpartition("/")[0] if isinstance(first, str) else ""
    return (folder,) if folder else ()
