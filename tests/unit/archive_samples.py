"""Archives for tests, made of parts that lie in memory."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

from project_export.archive.layout import Exported, members, relation_file, root_file
from project_export.archive.manifest import Manifest, ManifestPart, ManifestRelation, ManifestSnapshot
from project_export.archive.part import PartWriter
from project_export.archive.pieces import Member, Run, StoredPart, archive_pieces
from project_export.formats import GITLAB
from project_export.store import Assembled, assemble

MTIME = 1_700_000_000
STORED: dict[str, bytes] = {}
"""The stored bytes of each part that `part_of` made, by URI."""

FILES = GITLAB.written({"gitlab_version": "18.6.0", "gitlab_revision": "0123456789a"}.__getitem__)


def part_of(
    data: bytes, relation: str = "issues", part: int = 0, level: int = 1, records: int | None = None
) -> StoredPart:
    out = io.BytesIO()
    writer = PartWriter(out, level)
    writer.write(data, data.count(b"\n") if records is None else records)
    return stored(StoredPart(relation, part, writer.finish(), ""), out.getvalue())


def stored(part: StoredPart, data: bytes) -> StoredPart:
    """Return the part as one of which these bytes are stored."""
    uri = f"stored:{len(STORED)}"
    STORED[uri] = data
    return replace(part, uri=uri)


def opened(uri: str) -> BinaryIO:
    """Open a part that `part_of` made."""
    return io.BytesIO(STORED[uri])


def archive_of(files: Sequence[Member | Run]) -> tuple[bytes, Assembled]:
    out = io.BytesIO()
    facts = assemble(archive_pieces(files, MTIME), opened, out)
    return out.getvalue(), facts


@dataclass(frozen=True)
class Sample:
    data: bytes
    manifest: Manifest
    relations: tuple[tuple[str, bool, tuple[StoredPart, ...]], ...]


def sample() -> Sample:
    """A small archive of every kind of file: a root, many in three parts, many in one, none, one, and null."""
    lines = [b'{"title":"%d \xc3\xa4\\u003c","n":[{"a":%d}]}\n' % (i, i) for i in range(300)]
    relations = (
        ("project", True, (part_of(b'{"description":"d"}', "project", records=1),)),
        ("issues", False, tuple(part_of(b"".join(lines[i::3]), "issues", i) for i in range(3))),
        ("labels", False, (part_of(b'{"title":"l"}\n', "labels"),)),
        ("boards", False, (part_of(b"", "boards"),)),
        ("project_feature", True, (part_of(b'{"issues_access_level":20}', "project_feature", records=1),)),
        ("auto_devops", True, (part_of(b"null", "auto_devops", records=0),)),
    )
    files = members(FILES, "project", [Exported(*one) for one in relations])
    data, facts = archive_of(files)
    return Sample(
        data, manifest_of(relations, facts, {file.name for file in files if isinstance(file, Member)}), relations
    )


def manifest_of(
    relations: Sequence[tuple[str, bool, Sequence[StoredPart]]], facts: Assembled, names: set[str]
) -> Manifest:
    entries = []
    for relation, _, parts in relations:
        file = root_file(relation) if relation == "project" else relation_file("project", relation)
        entries.append(
            ManifestRelation.of(
                relation,
                file if file in names else None,
                [
                    ManifestPart(
                        part=one.part,
                        rows=one.facts.records,
                        raw_bytes=one.facts.raw_bytes,
                        stored_bytes=one.facts.stored_bytes,
                        sha256=one.facts.sha256,
                        attempt=1,
                        generation=1,
                    )
                    for one in parts
                ],
                ["a remark"] if relation == "labels" else (),
            )
        )
    return Manifest(
        package_version="0.1.0",
        job_id=7,
        source="source",
        tree="gitlab",
        project_id=42,
        run_id="manual__1",
        requested_by=None,
        consistency="project",
        snapshot=ManifestSnapshot(1, "00000003-0000001B-1"),
        created_at="2026-01-02T03:04:05.678Z",
        archive=facts,
        relations=tuple(entries),
    )
