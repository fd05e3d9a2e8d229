"""One job: how far it is, its relations, its timeline, and what its archive has."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime, timezone
from typing import Any

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from project_export.airflow.web.access import PageReader, page_reader
from project_export.airflow.web.errors import message
from project_export.airflow.web.pages.parts import Allowed, GoesOn, Gone, JobCtx, May, TheJob, airflow_run
from project_export.airflow.web.render import html, is_fragment, root_of
from project_export.airflow.web.views.contents import Contents, contents
from project_export.airflow.web.views.job import JobView, job_view
from project_export.archive.manifest import Manifest
from project_export.errors import ProjectExportError
from project_export.ledger import Job
from project_export.ledger.states import QUEUED
from project_export.steps import Context, downloads
from project_export.steps.turn import reason

router = APIRouter(dependencies=[Depends(page_reader)])


@router.get("/jobs/{job_id}")
def show_job(ctx: JobCtx, caller: PageReader, job: TheJob, may: May, goes_on: GoesOn, gone: Gone) -> Response:
    """Show a job."""
    return html("job.html", caller=caller, **_values(ctx, job, may, goes_on, gone))


@router.get("/jobs/{job_id}/live")
def show_live(ctx: JobCtx, job: TheJob, may: May, goes_on: GoesOn, gone: Gone) -> Response:
    """Show, as a fragment, what changes while a job runs. The fragment of a job that has ended asks for no other."""
    return html("_job.html", **_values(ctx, job, may, goes_on, gone))


@router.get("/jobs/{job_id}/contents")
def show_contents(request: Request, ctx: JobCtx, caller: PageReader, job: TheJob) -> Response:
    """Show what the archive of a job has and lacks, as its manifest says; to htmx, as a fragment."""
    found, problem = _contents(ctx, job)
    fragment = is_fragment(request)
    return html(
        "_contents.html" if fragment else "contents.html",
        root="../" if fragment else root_of(request),
        caller=caller,
        job=job,
        contents=found,
        problem=problem,
    )


def _contents(ctx: Context, job: Job) -> tuple[Contents | None, str]:
    try:
        with closing(downloads.manifest(ctx, job).open()) as blocks:
            return contents(Manifest.from_json(b"".join(blocks))), ""
    except ProjectExportError as error:
        return None, message(error)


def _turn(ctx: Context, job: Job) -> str:
    """Return what a queued job waits for, besides its run; empty if its turn has come, or if it is not queued."""
    if job.state != QUEUED:
        return ""
    turn = ctx.ledger.queue.turn(job.id, ctx.settings.exports_at_a_time)
    return "" if turn.admitted else reason(turn)


def _values(ctx: Context, job: Job, may: Allowed, goes_on: bool, gone: bool) -> dict[str, Any]:
    progress = ctx.ledger.queries.progress(job.id)
    rows = ctx.ledger.queries.rows(job.id)
    now = progress.now or datetime.now(timezone.utc)
    view: JobView = job_view(job, progress, rows, now, ctx.settings.snapshot_max_seconds)
    return {
        "root": "../",
        "view": view,
        "job": job,
        "may": may,
        "run": airflow_run(job),
        "goes_on": goes_on,
        "gone": gone,
        "turn": _turn(ctx, job),
    }
