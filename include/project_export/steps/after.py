"""What was asked for after the export: nothing, a notice, or an upload; then the job is finished."""

from __future__ import annotations

from project_export.errors import WHOLE, Failure, MoveRefused, Permanent, ProjectExportError
from project_export.steps.context import Context
from project_export.steps.merge import Merged
from project_export.steps.notify import notify
from project_export.steps.upload import upload


def after_export(ctx: Context, job_id: int, *, upload_url: str | None, last_try: bool) -> Merged:
    """Do what the job's request asks for, and return its archive. May be repeated: a notice is told once.

    upload_url: where to; not from the ledger, which keeps no URL's secrets. A failed upload fails the job, one that a
    retry may cure only on the last try. Raises what `upload` raises, MoveRefused when the job has no archive.
    """
    job = ctx.ledger.job(job_id)
    if job.archive_uri is None:
        raise MoveRefused(f"Job {job_id} ({job.state}) has no archive: it failed, or was pruned. Export it again.")
    merged = Merged(job.archive_uri, job.archive_bytes or 0, job.archive_sha256 or "", job.records or 0)
    if job.params.get("after_export") == "upload":
        ctx.ledger.reopen_job(job_id)
        try:
            upload(ctx, job, upload_url or "", job.params["upload_http_method"])
        except ProjectExportError as error:
            final = last_try or isinstance(error, Permanent)
            if final and ctx.ledger.fail_job(job_id, [Failure(WHOLE, 0, f"The upload failed. {error}")]):
                notify(ctx, job_id, "failed")
            raise
    ctx.ledger.finish_job(job_id, merged.uri, merged.bytes, merged.sha256, merged.records)
    notify(ctx, job_id, "finished")
    return merged
