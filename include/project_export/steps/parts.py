"""The finished parts of a job in the store, and a file with one of its relations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from project_export.archive.layout import Exported
from project_export.archive.part import PartFacts
from project_export.archive.pieces import Run, StoredPart, archive_pieces, relation_pieces
from project_export.errors import BadRequest, NotAvailable, nearest
from project_export.ledger import Job, Row
from project_export.ledger.states import FINISHED
from project_export.steps.context import Context
from project_export.store import Assembled, Piece, assemble, replacing
from project_export.tree.content import Content


def stored_part(row: Row) -> StoredPart:
    """Return the stored part of a finished row."""
    facts = PartFacts(**{field.name: getattr(row, field.name) for field in fields(PartFacts)})
    return StoredPart(row.relation, row.part, facts, str(row.uri))


def exported(ctx: Context, relation: str, rows: Sequence[Row]) -> Exported:
    """Return a relation with its finished parts, which are in order."""
    known = ctx.tree.extended().relation(relation)
    one = known.one or known.name == ctx.tree.root.name
    return Exported(relation, one, tuple(stored_part(row) for row in rows), known.content)


@dataclass(frozen=True)
class RelationFile:
    """One relation of a job as a gzip file. pieces: of the file. rows: its parts. content: None if it has records."""

    name: str
    pieces: tuple[Piece, ...]
    rows: tuple[Row, ...]
    content: Content | None


def relation_file(ctx: Context, job: Job, relation: str, *, tar: bool = False) -> RelationFile:
    """Return one relation of a job as a file: RELATION.ndjson.gz, RELATION.tar.gz, or a single bundle's name with .gz.

    tar: a single bundle becomes RELATION.tar.gz, too. The job may still run, but all parts of the relation must be
    finished. Raises BadRequest if the job does not have this relation; NotAvailable if a part is not finished.
    """
    rows = ctx.ledger.queries.rows(job.id)
    own = tuple(row for row in rows if row.relation == relation)
    if not own:
        known = nearest(relation, {row.relation for row in rows})
        raise BadRequest(f"job {job.id} does not export the relation {relation}; {known}")
    missing = [row for row in own if row.state != FINISHED]
    if missing:
        raise NotAvailable(
            f"{len(missing)} of {len(own)} part(s) of {relation} in job {job.id} are not finished: "
            f"{missing[0].state}. Wait for them, or clear the run's failed tasks."
        )
    one = exported(ctx, relation, own)
    member = one.member(ctx.tree.root.name)
    if isinstance(member, Run) or (tar and one.content is not None):
        return RelationFile(f"{relation}.tar.gz", archive_pieces([member], ctx.mtime(job)), own, one.content)
    name = f"{relation}.ndjson" if one.content is None else member.name
    return RelationFile(f"{name}.gz", relation_pieces(one.parts), own, one.content)


def write_relation(ctx: Context, job_id: int, relation: str, to: Path | None = None) -> tuple[Path, Assembled]:
    """Write one relation of a job as gzip to a local file, and return its path, size and checksum.

    to: the file; by default the name of `relation_file`, in the current folder. An existing file is replaced. Raises
    JobMissing; PartCorrupt; StoreRefused; and what `relation_file` raises.
    """
    job = ctx.ledger.queries.job(job_id)
    file = relation_file(ctx, job, relation)
    path = (to or Path(file.name)).absolute()
    with replacing(path, str(job.id)) as out:
        return path, assemble(file.pieces, ctx.store.open, out)
