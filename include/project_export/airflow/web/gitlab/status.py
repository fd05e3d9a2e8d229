"""The state of a project's exports in GitLab's words, by its active job, or else by its newest."""

from __future__ import annotations

from dataclasses import dataclass

from project_export.ledger import Job
from project_export.ledger.states import FAILED, FINISHED, PENDING, QUEUED, STARTED
from project_export.steps import Context

REGENERATION, NONE = "regeneration_in_progress", "none"
STATUSES = (REGENERATION, QUEUED, STARTED, FINISHED, FAILED, NONE)


@dataclass(frozen=True)
class ExportStatus:
    """The state of a project's current export.

    status: one of STATUSES. error: why it failed. archive: the job whose archive can be downloaded. A failed export
    hides the archives before it: a client that only waits for the end would take an old archive for the new one.
    """

    status: str
    error: str | None = None
    archive: Job | None = None


def export_status(ctx: Context, project_id: int) -> ExportStatus:
    """Return the state of a project's exports, by the ledger."""
    queries, project = ctx.ledger.queries, (ctx.source, ctx.tree.name, project_id)
    job = queries.current_job(*project)
    if job is None:
        return ExportStatus(NONE)
    if job.state == FAILED:
        reasons = "\n".join(str(failure) for failure in job.errors)
        return ExportStatus(FAILED, reasons or f"The export {job.outcome or FAILED}.")
    archive = queries.latest_archive(*project)
    if archive is not None and archive.archive_uri is None:
        archive = None  # it was pruned
    if job.state in PENDING:
        again = archive is not None and archive.id != job.id
        return ExportStatus(REGENERATION if again else job.state, archive=archive)
    return ExportStatus(FINISHED if archive is not None else NONE, archive=archive)
