"""The export of a project as a file: start it, ask for its status, download it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import Response

from project_export.airflow.web import starting
from project_export.airflow.web.access import Action, ApiReader, require
from project_export.airflow.web.airflow_api import AirflowApi
from project_export.airflow.web.callers import Caller
from project_export.airflow.web.downloads import respond
from project_export.airflow.web.gitlab.asked import AskedAirflow, AskedProject, Ctx, limit, page_url, root_url
from project_export.airflow.web.gitlab.given import FIELDS, given
from project_export.airflow.web.gitlab.lookups import Project
from project_export.airflow.web.gitlab.replies import ACCEPTED, Reply, said, wrong
from project_export.airflow.web.gitlab.shown import ACCEPTS, DOWNLOADS, REFUSES, ExportStatus, identity
from project_export.airflow.web.gitlab.status import export_status
from project_export.errors import BadRequest, DeliveryFailed, JobActive
from project_export.ledger.states import FINISHED
from project_export.steps import Context, FoundProject, downloads
from project_export.steps.upload import check_upload

router = APIRouter(tags=["exports"])

_METHODS = ("PUT", "POST")


@router.post("/projects/{id}/export", status_code=202, responses=ACCEPTS, openapi_extra=FIELDS)
async def start_export(
    request: Request, caller: ApiReader, ctx: Ctx, project: AskedProject, airflow: AskedAirflow
) -> Reply:
    """Start an export; while one of the project is running, start nothing and answer the same."""
    params = _params(ctx, await given(request))
    await start(ctx, airflow, caller, project, params)
    return Reply(ACCEPTED, 202)


async def start(ctx: Context, airflow: AirflowApi, caller: Caller, project: Project, params: dict[str, Any]) -> None:
    """Start an export for a caller, unless one is running.

    params: of the DAG. Raises Refused, and what `starting.start` raises.
    """
    await require(caller, Action.START)
    await run_in_threadpool(limit, ctx, caller, "start an export", ctx.settings.api_exports_per_minute)
    if url := params.get("upload_url"):
        await run_in_threadpool(_check_upload, ctx, url)
    try:
        await starting.start(ctx, airflow, caller, FoundProject(project.id, project.path), params, by="api")
    except JobActive:
        return


@router.get("/projects/{id}/export", response_model=ExportStatus, response_model_exclude_unset=True, responses=REFUSES)
def get_export(request: Request, ctx: Ctx, project: AskedProject) -> dict[str, Any]:
    """Return the status of the project's newest export, and why it failed."""
    found = export_status(ctx, project.id)
    answer = {**identity(project), "export_status": found.status}
    if found.error is not None:
        answer["export_error"] = found.error
    if found.status == FINISHED:
        assert found.archive is not None
        answer["_links"] = {
            "api_url": f"{root_url(request)}/projects/{project.id}/export/download",
            "web_url": f"{page_url(request)}/jobs/{found.archive.id}/archive",
        }
    return answer


@router.get("/projects/{id}/export/download", response_class=Response, responses=DOWNLOADS)
@router.head("/projects/{id}/export/download", include_in_schema=False)
def download_export(request: Request, caller: ApiReader, ctx: Ctx, project: AskedProject) -> Response:
    """Send the archive of the newest export, or a range of it."""
    found = export_status(ctx, project.id).archive
    if found is None:
        raise said(404, "404 Not found or has expired")
    archive = downloads.archive(ctx, found)
    if request.method == "GET":
        limit(ctx, caller, f"download project {project.id}", ctx.settings.api_downloads_per_minute)
    return respond(request, archive, presigned=ctx.settings.presigned_downloads)


def _params(ctx: Context, fields: dict[str, Any]) -> dict[str, Any]:
    """Return the params of the DAG for the fields of a request. Raises Refused."""
    params: dict[str, Any] = {}
    description, upload = fields.get("description"), fields.get("upload")
    if description is not None and not isinstance(description, str):
        raise wrong("description is invalid")
    if description and "description" in ctx.tree.parameters:
        params["description"] = description
    if upload is None or upload == "":
        return params
    if not isinstance(upload, dict):
        raise wrong("upload is invalid")
    url, method = upload.get("url"), upload.get("http_method") or _METHODS[0]
    if not url:
        raise wrong("upload[url] is missing")
    if not isinstance(url, str):
        raise wrong("upload[url] is invalid")
    if method not in _METHODS:
        raise wrong("upload[http_method] does not have a valid value")
    return {**params, "after_export": "upload", "upload_url": url, "upload_http_method": method}


def _check_upload(ctx: Context, url: str) -> None:
    """Raise Refused if nothing may be sent to a URL, now and not only when the export has run."""
    try:
        check_upload(ctx, url)
    except (BadRequest, DeliveryFailed) as error:
        raise wrong(f"upload[url] is invalid: {error}") from error
