"""What the request wants after the export: nothing, a notice, or an upload. Then the job is finished."""

from __future__ import annotations

from typing import Any

from project_export.archive.manifest import Manifest
from project_export.errors import MoveRefused
from project_export.ledger import Job
from project_export.merged import Merged
from project_export.steps.context import Context
from project_export.steps.ending import ending
from project_export.steps.notify import notify
from project_export.steps.upload import upload
from project_export.store import manifest_of


def after_export(ctx: Context, job_id: int, *, upload_url: str | None, last_try: bool) -> Merged:
    """Do what the job's request asks for, and return its archive. Repeating it sends no second notice.

    upload_url: the address; not from the ledger, which never keeps a URL's secrets. A failed upload fails the job; if a
    retry may help, only on the last try. Raises what `upload` raises, and MoveRefused when the job has no archive.
    """
    job = ctx.ledger.queries.job(job_id)
    what = "The upload failed. " if job.params.get("after_export") == "upload" else ""
    with ending(ctx, job_id, last_try=last_try, what=what):
        return _after(ctx, job, upload_url or "")


def event(ctx: Context, job_id: int) -> dict[str, Any]:
    """Return what programs learn about a published archive, as JSON values.

    source, project_id, job_id; uri, manifest (URI), bytes, sha256, records; partial: whether only some relations were
    asked for; mode, window_start, window_end (ISO 8601): see `ledger.Job`; omissions: what the archive lacks; remarks:
    what else the manifest says about it and its relations.
    Raises what reading the manifest raises.
    """
    job = ctx.ledger.queries.job(job_id)
    uri = str(job.archive_uri)
    with ctx.store.open(manifest_of(uri)) as file:
        manifest = Manifest.from_json(file.read())
    remarks = [f"{relation.relation}: {text}" for relation in manifest.relations for text in relation.remarks]
    return {
        "source": job.source,
        "project_id": job.project_id,
        "job_id": job.id,
        "uri": uri,
        "manifest": manifest_of(uri),
        "bytes": job.archive_bytes,
        "sha256": job.archive_sha256,
        "records": job.records,
        "partial": bool(job.params.get("relations")),
        "mode": job.mode,
        "window_start": job.window_start and job.window_start.isoformat(),
        "window_end": job.window_end and job.window_end.isoformat(),
        "omissions": list(manifest.omissions),
        "remarks": [*manifest.remarks, *remarks],
    }


def _after(ctx: Context, job: Job, upload_url: str) -> Merged:
    if job.archive_uri is None:
        raise MoveRefused(f"Job {job.id} ({job.state}) has no archive: it failed or was pruned. Export it again.")
    merged = Merged(
        uri=job.archive_uri,
        bytes=job.archive_bytes or 0,
        sha256=job.archive_sha256 or "",
        records=job.records or 0,
        omissions=ctx.ledger.queries.omissions(job.id),
    )
    if job.params.get("after_export") == "upload":
        ctx.ledger.jobs.reopen(job.id)
        upload(ctx, job, upload_url, job.params["upload_http_method"])
    ctx.ledger.jobs.finish(job.id, merged.uri, merged.bytes, merged.sha256, merged.records)
    notify(ctx, job.id, "finished")
    return merged
