"""The archive of a job, its manifest, and its relations."""

from __future__ import annotations

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from project_export.airflow.web.access import page_reader
from project_export.airflow.web.downloads import respond
from project_export.airflow.web.pages.parts import JobCtx, TheJob
from project_export.steps import downloads

router = APIRouter(dependencies=[Depends(page_reader)])


@router.get("/jobs/{job_id}/archive")
def archive(request: Request, ctx: JobCtx, job: TheJob) -> Response:
    """Send the archive of a job."""
    return respond(request, downloads.archive(ctx, job), presigned=ctx.settings.presigned_downloads)


@router.get("/jobs/{job_id}/manifest")
def manifest(request: Request, ctx: JobCtx, job: TheJob) -> Response:
    """Send the manifest of a job's archive."""
    return respond(request, downloads.manifest(ctx, job))


@router.get("/jobs/{job_id}/relations/{relation}")
def relation(request: Request, ctx: JobCtx, job: TheJob, relation: str) -> Response:
    """Send one relation of a job, which may still run."""
    return respond(request, downloads.relation(ctx, job, relation))
