"""What people can download of a job: its archive, its manifest, a relation, or a part of a relation.

Nothing is served that was not checked: the ledger names only archives that are complete, the stored size must be the
ledger's, and a checksum that does not match ends a download before its last bytes.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from project_export.archive.pieces import relation_pieces
from project_export.errors import ArchiveBroken, ArtifactMissing, BadRequest, Expired, NotAvailable, PartCorrupt
from project_export.ledger import Job, Row
from project_export.ledger.states import PENDING
from project_export.steps.context import Context
from project_export.steps.parts import relation_file, stored_part
from project_export.store import Contents, Glue, Source, Store, StoredFile, digest_of, manifest_of
from project_export.store.pieces import Piece, StoredPiece

log = logging.getLogger(__name__)

GZIP = "application/gzip"
JSON = "application/json"

_LONGEST_STEM = 51
"""Characters of an archive's name before `_export.tar.gz`, as in GitLab."""


@dataclass(frozen=True)
class Download:
    """A file to download.

    name: of the file; ASCII. bytes: its exact size. etag: a strong validator, in quotes. sha256 (hex): of the file,
    None if it is only known once the file was joined. newer: returns what has replaced the file since the ledger was
    read, None if nothing has; raises what made it.
    """

    name: str
    content_type: str
    bytes: int
    etag: str
    modified: datetime
    sha256: str | None
    sources: tuple[Source, ...] = field(repr=False)
    store: Store = field(repr=False)
    newer: Callable[[], Download | None] = field(default=lambda: None, repr=False)

    def open(self, first: int = 0, length: int | None = None) -> Contents:
        """Return the file's bytes from `first` on, `length` of them or all that follow. The caller closes it.

        Raises NotAvailable if the store does not have the file, or one of another size; StoreRefused. While reading,
        raises PartCorrupt or ArchiveBroken instead of the last block if the content is not what was written.
        """
        try:
            return Contents(self.sources, self.store.open, first, self.bytes - first if length is None else length)
        except (ArtifactMissing, PartCorrupt, ArchiveBroken) as error:
            raise _not_stored(self.name, error) from error

    def presigned(self, seconds: int) -> str | None:
        """Return a URL of the store that serves the file for `seconds`, or None if there is none.

        Only a whole file of an object store that can sign has one. Raises as `open` does.
        """
        (source, *others) = self.sources
        if others or not isinstance(source, StoredFile):
            return None
        url = self.store.presigned(source.uri, seconds, self.name, self.content_type)
        if url is not None:
            self.open().close()
        return url


def archive(ctx: Context, job: Job) -> Download:
    """Return the archive of a job, which the ledger names whatever the job's state: it may be exported again.

    Raises NotAvailable if the job has no archive (yet), Expired if it was pruned; so does `newer`.
    """
    uri, size, sha256 = _published(job)

    def newer() -> Download | None:
        now = _replaced(ctx, job)
        return None if now is None else archive(ctx, now)

    name, sources = f"{_stem(job)}_export.tar.gz", (StoredFile(uri, size, sha256),)
    return Download(name, GZIP, size, f'"{sha256}"', _modified(job), sha256, sources, ctx.store, newer)


def manifest(ctx: Context, job: Job) -> Download:
    """Return the manifest of a job's archive, which is read here and must describe this archive.

    Raises as `archive` does; NotAvailable also if the store has another manifest or none; StoreRefused.
    """
    uri, size, sha256 = _published(job)
    name = f"{_stem(job)}_export.manifest.json"
    try:
        with ctx.store.open(manifest_of(uri)) as file:
            data = file.read()
        described = json.loads(data)["archive"]
    except (ArtifactMissing, ValueError, KeyError, TypeError) as error:
        now = _replaced(ctx, job)
        if now is None:
            raise _not_stored(name, error) from error
        return manifest(ctx, now)
    if described != {"bytes": size, "sha256": sha256}:
        raise _not_stored(name, f"it describes {described}")
    own = hashlib.sha256(data).hexdigest()
    return Download(name, JSON, len(data), f'"{own}"', _modified(job), own, (Glue(data),), ctx.store)


def relation(ctx: Context, job: Job, relation: str, *, tar: bool = False) -> Download:
    """Return one relation of a job as gzip, as `relation_file` names and joins it. The job may still run.

    tar: a relation of a single bundle is a tar, too.
    Raises BadRequest if the job does not have this relation; NotAvailable if a part is not finished, or not in the
    store with its size; StoreRefused.
    """
    file = relation_file(ctx, job, relation, tar=tar)
    return _joined(ctx, job, file.name, file.pieces, file.rows)


def batched(ctx: Context, relation: str) -> bool:
    """Return whether each part of a relation is a file of its own: it has records, and may have many of them.

    A part of a relation of files may be a range of one file.
    """
    known = ctx.tree.extended().relation(relation)
    return known.content is None and not known.one and known.name != ctx.tree.root.name


def batch(ctx: Context, job: Job, relation: str, part: int) -> Download:
    """Return one part of a relation as a file of its own, RELATION.NUMBER.ndjson.gz. The job may still run.

    part: counts from 0; the number in the name counts from 1. Raises BadRequest if the job does not have this relation
    or part, or if the relation is not `batched`; NotAvailable if the part is not finished, or not in the store.
    """
    own = [row for row in ctx.ledger.queries.rows(job.id) if row.relation == relation]
    found = [row for row in own if row.part == part]
    if not found:
        raise BadRequest(f"job {job.id} has {len(own)} part(s) of the relation {relation}, and not part {part + 1}")
    if not batched(ctx, relation):
        raise BadRequest(f"the parts of {relation} are not files of their own; fetch the whole relation")
    (row,) = found
    if row.uri is None or row.state != "finished":
        raise NotAvailable(f"part {part + 1} of {relation} in job {job.id} is not available yet: it is {row.state}.")
    return _joined(ctx, job, f"{relation}.{part + 1}.ndjson.gz", relation_pieces([stored_part(row)]), found)


def _joined(ctx: Context, job: Job, name: str, pieces: Sequence[Piece], rows: Sequence[Row]) -> Download:
    stored = [piece for piece in pieces if isinstance(piece, StoredPiece)]
    sizes = ctx.store.files(ctx.key(job))
    for piece in stored:
        if sizes.get(piece.uri) != piece.bytes:
            raise _not_stored(name, f"{piece.uri} has {sizes.get(piece.uri)} bytes instead of {piece.bytes}")
    modified = max((row.finished_at for row in rows if row.finished_at), default=job.created_at)
    size = sum(piece.bytes for piece in pieces)
    return Download(name, GZIP, size, f'"{digest_of(pieces)}"', modified, None, tuple(pieces), ctx.store)


def _published(job: Job) -> tuple[str, int, str]:
    """Return URI, size and checksum of a job's archive. Raises NotAvailable, Expired."""
    if job.archive_uri and job.archive_bytes is not None and job.archive_sha256:
        return job.archive_uri, job.archive_bytes, job.archive_sha256
    if job.state in PENDING:
        raise NotAvailable(f"The archive of job {job.id} is not available yet: the job is {job.state}.")
    if job.archive_bytes is not None:
        raise Expired(f"The archive of job {job.id} has expired. Export the project again.")
    raise NotAvailable(f"Job {job.id} has no archive: it {job.outcome or job.state}. Clear its failed tasks.")


def _replaced(ctx: Context, job: Job) -> Job | None:
    """Return the job as it is now if it has another archive than the caller knows, or none; else None."""
    now = ctx.ledger.queries.job(job.id)
    return None if now.archive_uri == job.archive_uri else now


def _stem(job: Job) -> str:
    """Return the start of an archive's name: time and path of the project, as in GitLab."""
    created = job.created_at
    project = str(job.plan.get("project") or f"project_{job.project_id}")
    named = f"{created:%Y-%m-%d_%H-%M}-{created.microsecond // 1000:03}_{project}"
    return re.sub(r"[^A-Za-z0-9_.-]", "_", named)[:_LONGEST_STEM]


def _modified(job: Job) -> datetime:
    return job.finished_at or job.updated_at


def _not_stored(name: str, why: Any) -> NotAvailable:
    """Return the error for a file that the store does not have as it was written; the log says why."""
    log.error("%s cannot be downloaded: %s", name, why)
    return NotAvailable(f"{name} is not available: it is not in the store as it was written. Export the project again.")
