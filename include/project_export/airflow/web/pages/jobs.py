"""All jobs, newest first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from project_export.airflow.web.access import PageReader, page_reader
from project_export.airflow.web.callers import Caller
from project_export.airflow.web.pages.parts import Ctx, May, visible
from project_export.airflow.web.render import html, is_fragment
from project_export.airflow.web.views.jobs import JobLine, job_lines
from project_export.ledger import JobProgress
from project_export.ledger.states import STATES
from project_export.steps import Context

router = APIRouter(dependencies=[Depends(page_reader)])

PAGE = 50
_MOST_PAGES = 20
"""How many pages are read for one that is shown to a caller who may see few jobs."""

State = Literal["", "queued", "started", "finished", "failed"]


@dataclass(frozen=True)
class Found:
    """A page of jobs. older: the last id that was looked at if there may be more."""

    lines: list[JobLine]
    older: int | None


@router.get("/")
def show_jobs(
    request: Request,
    ctx: Ctx,
    caller: PageReader,
    may: May,
    project: Annotated[str, Query(max_length=1000)] = "",
    source: Annotated[str, Query(max_length=250)] = "",
    state: State = "",
    before: Annotated[int | None, Query(gt=0, lt=1 << 63)] = None,
) -> Response:
    """Show a page of jobs; to htmx, only its rows."""
    found = _find(ctx, caller, before, project.strip() or None, source or None, state or None)
    chosen = {"project": project.strip(), "source": source, "state": state}
    filters = {name: value for name, value in chosen.items() if value}
    return html(
        "_jobs.html" if is_fragment(request) else "jobs.html",
        root="./",
        caller=caller,
        may=may,
        found=found,
        project=project.strip(),
        source=source,
        sources=ctx.sources,
        state=state,
        states=STATES,
        first=before is None,
        here="?" + urlencode({**filters, **({"before": before} if before else {})}),
        older="?" + urlencode({**filters, "before": found.older}),
        newest="?" + urlencode(filters),
    )


def _find(
    ctx: Context, caller: Caller, before: int | None, project: str | None, source: str | None, state: str | None
) -> Found:
    shown: list[JobProgress] = []
    for _ in range(_MOST_PAGES):
        page = ctx.ledger.queries.jobs(project=project, source=source, state=state, before=before, limit=PAGE + 1)
        for one in page[:PAGE]:
            before = one.job.id
            if visible(ctx, caller, one.job):
                shown.append(one)
        if len(page) <= PAGE:
            before = None
            break
        if shown:
            break
    omissions = ctx.ledger.queries.omissions_of([one.job.id for one in shown if one.job.archive_bytes is not None])
    return Found(job_lines(shown, omissions, datetime.now(timezone.utc)), before)
