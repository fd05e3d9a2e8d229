"""The finished parts of a job in the store, and a file with one of its relations."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from project_export.archive.part import PartFacts
from project_export.archive.pieces import StoredPart, relation_pieces
from project_export.errors import BadRequest, MoveRefused, nearest
from project_export.ledger import Row
from project_export.ledger.states import FINISHED
from project_export.steps.context import Context
from project_export.store import Assembled, assemble, replacing


def stored_part(row: Row) -> StoredPart:
    """Return the stored part of a finished row."""
    facts = PartFacts(**{field.name: getattr(row, field.name) for field in fields(PartFacts)})
    return StoredPart(row.relation, row.part, facts, str(row.uri))


def write_relation(ctx: Context, job_id: int, relation: str, path: Path) -> Assembled:
    """Write one relation of a job as gzip to a local file, and return the file's size and checksum.

    An existing file is replaced. The job may still run, but all parts of the relation must be finished. Raises
    JobMissing; BadRequest if the job does not have this relation; MoveRefused if a part is not finished; PartCorrupt;
    StoreRefused.
    """
    job, rows = ctx.ledger.queries.job(job_id), ctx.ledger.queries.rows(job_id)
    own = [row for row in rows if row.relation == relation]
    if not own:
        known = nearest(relation, {row.relation for row in rows})
        raise BadRequest(f"job {job.id} does not export the relation {relation}; {known}")
    missing = [row for row in own if row.state != FINISHED]
    if missing:
        raise MoveRefused(
            f"{len(missing)} of {len(own)} part(s) of {relation} in job {job.id} are not finished: "
            f"{missing[0].state}. Wait for them, or clear the run's failed tasks."
        )
    with replacing(path, str(job.id)) as out:
        return assemble(relation_pieces([stored_part(row) for row in own]), ctx.store.open, out)
