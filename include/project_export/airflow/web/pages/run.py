"""The tab of a run in Airflow, which appears on the runs of every DAG."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from project_export.airflow.web.access import DAG_ID, PageReader, page_reader
from project_export.airflow.web.pages.parts import Ctx, visible
from project_export.airflow.web.render import html, is_fragment

router = APIRouter(dependencies=[Depends(page_reader)])


@router.get("/run")
def show_run(
    request: Request,
    ctx: Ctx,
    caller: PageReader,
    dag_id: Annotated[str, Query(max_length=250)] = "",
    run_id: Annotated[str, Query(max_length=250)] = "",
) -> Response:
    """Go to the job of a run; if it has none, say why, and look again while it may get one."""
    own = dag_id == DAG_ID
    job = ctx.ledger.queries.job_of_run(f"{DAG_ID}/{run_id}") if own and run_id else None
    if job is not None and visible(ctx, caller, job):
        if is_fragment(request):
            return Response(status_code=204, headers={"HX-Redirect": f"jobs/{job.id}"})
        return RedirectResponse(f"jobs/{job.id}", 303)
    if is_fragment(request):
        return Response(status_code=204)
    return html("run.html", root="./", caller=caller, own=own, dag_id=dag_id, run_id=run_id, expected=DAG_ID)
