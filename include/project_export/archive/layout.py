"""The files of an archive and their names: first those of its format, then the records.

Facts: exports of GitLab 16.11 to 18.9 and GitLab's lib/gitlab/import_export (json/ndjson_writer.rb).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from project_export.archive.pieces import Member, StoredPart
from project_export.errors import ArchiveBroken


def root_file(root: str) -> str:
    """Return the name of the file with the record of the tree's root, such as tree/project.json."""
    return f"tree/{root}.json"


def relation_file(root: str, relation: str) -> str:
    """Return the name of the file with the records of a relation, such as tree/project/issues.ndjson."""
    return f"tree/{root}/{relation}.ndjson"


def members(
    fixed: Mapping[str, str],
    root: str,
    relations: Sequence[tuple[str, bool, Sequence[StoredPart]]],
) -> list[Member]:
    """Return the files of an archive, in order.

    fixed: texts by name, which come first; see `Format.written`. root: name of the tree's root, which must be one of
    `relations`. relations: name, whether it is one-to-one, and its parts in order.
    A relation of many without records has no file. The root and one-to-one relations always have a file: their part is
    the object or `null`, without a newline. Raises ArchiveBroken if such a part is empty or the root is missing.
    """
    files = [Member(name, data=text.encode()) for name, text in fixed.items()]
    if root not in (relation for relation, _, _ in relations):
        raise ArchiveBroken(f"The archive lacks its root {root!r}. Export it together with the relations.")
    for relation, one, parts in relations:
        name = root_file(root) if relation == root else relation_file(root, relation)
        member = Member(name, parts=tuple(parts))
        if member.size:
            files.append(member)
        elif one or relation == root:
            raise ArchiveBroken(
                f"{name} would be empty: its part must hold an object or null. Export {relation} again."
            )
    return files
