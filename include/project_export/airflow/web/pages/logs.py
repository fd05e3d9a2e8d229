"""The log of a task, which Airflow's own page cannot show inside the frame that it shows this page in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from project_export.airflow.web.access import DAG_ID, Action, PageReader, page_reader, require
from project_export.airflow.web.pages.parts import Airflow, TheJob, airflow_run
from project_export.airflow.web.render import html, root_of
from project_export.errors import BadRequest
from project_export.ledger.scrub import scrub

router = APIRouter(dependencies=[Depends(page_reader)])

_GROUP, _ENDGROUP = "::group::", "::endgroup::"

Task = Literal[
    "create_relation_exports",
    "hold_snapshot",
    "export_relation",
    "wait_relation_exports",
    "merge_relation_exports",
    "after_export",
    "end_export",
]


@dataclass(frozen=True)
class LogLine:
    """One line of a log. at: ISO 8601, empty if unknown."""

    at: str
    level: str
    text: str


@router.get("/jobs/{job_id}/log")
async def show_log(
    request: Request,
    job: TheJob,
    caller: PageReader,
    airflow: Airflow,
    task: Task = "merge_relation_exports",
    unit: Annotated[int, Query(ge=-1, le=100_000)] = -1,
    attempt: Annotated[int, Query(ge=0, le=100_000)] = 0,
) -> Response:
    """Show the log of one try of a task. unit: the number of a worker. attempt: 0 for the last one."""
    await require(caller, Action.READ_LOG)
    run_id = airflow_run(job)
    if run_id is None:
        raise BadRequest(f"Job {job.id} does not belong to a run of Airflow, so there is no log here.")
    tries = [one for one in await airflow.tasks(run_id) if one["task_id"] == task and one["map_index"] == unit]
    last = tries[0]["try_number"] if tries else 0
    number = attempt or last
    lines = log_lines(await airflow.log(run_id, task, unit, number)) if number else []
    mapped = f"/mapped/{unit}" if unit >= 0 else ""
    return html(
        "log.html",
        root=root_of(request),
        caller=caller,
        job=job,
        task=task,
        unit=unit,
        attempt=number,
        last=max(last, number),
        lines=lines,
        there=f"dags/{DAG_ID}/runs/{quote(run_id, safe='')}/tasks/{task}{mapped}?try_number={number}",
    )


def log_lines(content: Iterable[Mapping[str, Any]]) -> list[LogLine]:
    """Return the lines of a log as Airflow's API has them, with the exceptions that they report.

    The marks that start and end a group of lines are not part of what was logged.
    """
    found: list[LogLine] = []
    for line in content:
        at, level, text = str(line.get("timestamp") or ""), str(line.get("level") or "info").lower(), _text(line)
        if text.startswith(_GROUP):
            found.append(LogLine(at, "group", text.removeprefix(_GROUP)))
        elif text != _ENDGROUP:
            found.append(LogLine(at, level, text))
        for error in line.get("error_detail") or ():
            text = f"{error.get('exc_type', '')}: {error.get('exc_value', '')}"
            found.append(LogLine("", "error", scrub(text)))
    return found


def _text(line: Mapping[str, Any]) -> str:
    return scrub(str(line.get("event", "")))
