"""The form that starts an export."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from project_export.airflow.web.access import Action, PageReader, page_reader, require
from project_export.airflow.web.airflow_api import AirflowRefused
from project_export.airflow.web.errors import message, status_of
from project_export.airflow.web.pages.parts import Airflow, Ctx, find_visible
from project_export.airflow.web.render import html
from project_export.airflow.web.starting import start
from project_export.airflow.web.views.form import PROJECT, SOURCE, Form, filled_form, read
from project_export.errors import JobActive, ProjectExportError, ProjectNotFound, Retryable
from project_export.ledger import Job
from project_export.steps import Context, FoundProject

router = APIRouter(dependencies=[Depends(page_reader)])

BY = "page"
"""The first word of the id of a run that the page starts."""


@router.get("/start")
async def show_form(
    caller: PageReader,
    project: Annotated[str, Query(max_length=1000)] = "",
    source: Annotated[str, Query(max_length=250)] = "",
) -> Response:
    """Show the form. project, source: fill in its first fields."""
    await require(caller, Action.START)
    form = await run_in_threadpool(filled_form, {SOURCE: source} if source else {}, {})
    return _shown(caller, form, project)


@router.get("/start/find")
def find(
    ctx: Ctx,
    caller: PageReader,
    project: Annotated[str, Query(max_length=1000)] = "",
    source: Annotated[str, Query(max_length=250)] = "",
) -> Response:
    """Show, as a fragment, which project of a source an id or path names, and what was exported of it last."""
    wanted, ctx = project.strip(), ctx.of(source)
    found, problem, latest = None, "", None
    if wanted:
        try:
            found = find_visible(ctx, caller, wanted)
            latest = ctx.ledger.queries.latest_job(ctx.source, ctx.tree.name, found.id)
        except (ProjectNotFound, Retryable) as error:
            problem = message(error)
    return html("_found.html", root="./", found=found, problem=problem, latest=latest)


@router.post("/start")
async def start_export(request: Request, ctx: Ctx, caller: PageReader, airflow: Airflow) -> Response:
    """Start an export and go to its job; or show the form again, with what is wrong at each field."""
    await require(caller, Action.START)
    async with request.form(max_files=0, max_fields=1000) as data:
        given = {name: [str(value) for value in data.getlist(name)] for name in data}
    wanted = (given.get(PROJECT) or [""])[0].strip()
    params, problems = await run_in_threadpool(read, given)
    ctx = await run_in_threadpool(ctx.of, str(params.get(SOURCE, "")))
    project = None
    try:
        project = await run_in_threadpool(_find, ctx, caller, wanted)
    except (ProjectNotFound, Retryable) as error:
        problems[PROJECT] = message(error)
    if project is None and PROJECT not in problems:
        problems[PROJECT] = "Enter the id of a project, or its full path."
    if problems or project is None:
        return await _again(caller, wanted, params, problems, status=422)
    try:
        job = await start(ctx, airflow, caller, project, params, BY)
    except JobActive as error:
        active = await run_in_threadpool(ctx.ledger.queries.active_job, ctx.source, ctx.tree.name, project.id)
        return await _again(caller, wanted, params, {PROJECT: message(error)}, status=409, active=active)
    except (ProjectExportError, AirflowRefused) as error:
        return await _again(caller, wanted, params, {}, status=status_of(error), problem=message(error))
    return RedirectResponse(f"jobs/{job.id}", 303)


def _find(ctx: Context, caller: Any, wanted: str) -> FoundProject | None:
    return find_visible(ctx, caller, wanted) if wanted else None


async def _again(
    caller: Any,
    project: str,
    params: Mapping[str, Any],
    problems: Mapping[str, str],
    *,
    status: int,
    problem: str = "",
    active: Job | None = None,
) -> Response:
    form = await run_in_threadpool(filled_form, params, problems)
    return _shown(caller, form, project, problems.get(PROJECT, ""), problem, active, status)


def _shown(
    caller: Any,
    form: Form,
    project: str,
    project_problem: str = "",
    problem: str = "",
    active: Job | None = None,
    status: int = 200,
) -> Response:
    return html(
        "start.html",
        root="./",
        status=status,
        caller=caller,
        form=form,
        project=project,
        project_problem=project_problem,
        problem=problem,
        active=active,
    )
