"""The export of a project relation by relation, as one GitLab fetches it from another.

It is the same job as the export as a file. A relation can be fetched once its parts are finished; a part is a batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from project_export.airflow.web.access import ApiReader
from project_export.airflow.web.downloads import respond
from project_export.airflow.web.gitlab.asked import AskedAirflow, AskedProject, Ctx
from project_export.airflow.web.gitlab.exports import start
from project_export.airflow.web.gitlab.given import given
from project_export.airflow.web.gitlab.replies import ACCEPTED, Reply, said, wrong
from project_export.airflow.web.gitlab.shown import ACCEPTS, DOWNLOADS, REFUSES, RelationStatus, instant
from project_export.errors import BadRequest, NotAvailable
from project_export.ledger import Job, Row
from project_export.ledger.states import FAILED, FINISHED, QUEUED, STARTED
from project_export.steps import Context, downloads

router = APIRouter(tags=["relations"])

PENDING_, STARTED_, FINISHED_, FAILED_ = -2, 0, 1, -1
"""GitLab's numbers of the states."""

_NUMBERS = {QUEUED: PENDING_, STARTED: STARTED_, FINISHED: FINISHED_, FAILED: FAILED_}
_OTHER_NAMES = {"self": "project", "design": "design_repository"}
"""Our names of the relations that GitLab calls something else."""
_NOT_OFFERED = ("project_members", "wiki_repository", "snippets_repository", "avatar")
"""Relations that GitLab does not offer in this way."""

Batched = Annotated[bool, Query(description="Whether a batch is wanted; then `batch_number` is required.")]
BatchNumber = Annotated[int | None, Query(ge=1, lt=1 << 31, description="Which batch, from 1 on.")]


@router.post(
    "/projects/{id}/export_relations",
    status_code=202,
    responses=ACCEPTS,
    openapi_extra={
        "requestBody": {
            "content": {
                "application/json": {
                    "schema": {
                        "type": ["object", "null"],
                        "properties": {
                            "batched": {
                                "enum": [True, False, None, "true", "false", "1", "0", "", 1, 0],
                                "description": "Accepted and ignored: large relations always have batches.",
                            }
                        },
                    }
                }
            }
        }
    },
)
async def start_relations(
    request: Request, caller: ApiReader, ctx: Ctx, project: AskedProject, airflow: AskedAirflow
) -> Reply:
    """Start an export; while one of the project is running, start nothing and answer the same."""
    batched = (await given(request)).get("batched")
    if str(batched).lower() not in ("none", "true", "false", "1", "0", ""):
        raise wrong("batched is invalid")
    await start(ctx, airflow, caller, project, {"after_export": "none"})
    return Reply(ACCEPTED, 202)


@router.get(
    "/projects/{id}/export_relations/status",
    response_model=list[RelationStatus] | RelationStatus,
    response_model_exclude_unset=True,
    responses=REFUSES,
)
def relations_status(
    ctx: Ctx,
    project: AskedProject,
    relation: Annotated[str | None, Query(description="The one relation whose status is wanted.")] = None,
) -> Any:
    """Return the status of each relation of the newest export, or of the one that is asked for."""
    job = _current(ctx, project.id)
    found = {one["relation"]: one for one in _statuses(ctx, job)} if job else {}
    if not relation:
        return list(found.values())
    if relation not in found:
        raise said(404, "404 Export not found")
    return found[relation]


@router.get("/projects/{id}/export_relations/download", response_class=Response, responses=DOWNLOADS)
def download_relation(
    request: Request,
    ctx: Ctx,
    project: AskedProject,
    relation: Annotated[str, Query(description="Which relation.")],
    batched: Batched = False,
    batch_number: BatchNumber = None,
) -> Response:
    """Send a relation as `RELATION.ndjson.gz`, files as `RELATION.tar.gz`; or one batch of its records."""
    name = _ours(ctx, relation)
    if name is None:
        raise wrong("relation does not have a valid value")
    if batched != (batch_number is not None):
        raise wrong("batched, batch_number provide all or none of parameters")
    job = _current(ctx, project.id)
    rows = [row for row in ctx.ledger.queries.rows(job.id) if row.relation == name] if job else []
    if job is None or (job.planned and not rows):
        raise said(404, "404 Export not found")
    if not rows:
        raise said(404, "404 Export file not found")
    try:
        if batch_number is None:
            file = downloads.relation(ctx, job, name, tar=True)
        elif not _batched(ctx, name, rows):
            raise said(400, "400 Bad request - Export is not batched")
        else:
            file = downloads.batch(ctx, job, name, batch_number - 1)
    except BadRequest as error:
        raise said(404, "404 Batch not found") from error
    except NotAvailable as error:
        what = "Batch file" if batched else "Export file"
        raise said(404, f"404 {what} not found") from error
    return respond(request, file, presigned=ctx.settings.presigned_downloads)


def _current(ctx: Context, project_id: int) -> Job | None:
    return ctx.ledger.queries.current_job(ctx.source, ctx.tree.name, project_id)


def offered(ctx: Context) -> Mapping[str, str]:
    """Return our names of the relations by GitLab's."""
    theirs = {ours: name for name, ours in _OTHER_NAMES.items()}
    return {theirs.get(name, name): name for name in ctx.tree.extended().exported if name not in _NOT_OFFERED}


def _ours(ctx: Context, relation: str) -> str | None:
    return offered(ctx).get(relation)


def _batched(ctx: Context, relation: str, rows: Sequence[Row]) -> bool:
    return len(rows) > 1 and downloads.batched(ctx, relation)


def _statuses(ctx: Context, job: Job) -> list[dict[str, Any]]:
    """Return the status of each relation of a job; a job that was never started has planned none of them yet."""
    parts: dict[str, list[Row]] = {}
    for row in ctx.ledger.queries.rows(job.id):
        parts.setdefault(row.relation, []).append(row)
    if not job.planned:
        wanted = job.params.get("relations") or ctx.tree.exported
        parts = {name: [] for name in (ctx.tree.root.name, *wanted)}
    return [_status(ctx, job, name, ours, parts[ours]) for name, ours in offered(ctx).items() if ours in parts]


def _status(ctx: Context, job: Job, name: str, ours: str, rows: Sequence[Row]) -> dict[str, Any]:
    states = {row.state for row in rows} or {job.state}
    failures = [row.failure for row in rows if row.state == FAILED] or (job.errors if not rows else ())
    batched = _batched(ctx, ours, rows)
    status: dict[str, Any] = {
        "relation": name,
        "status": _together(states),
        "error": "\n".join(str(failure) for failure in failures) or None,
        "updated_at": instant(max((_updated(row) for row in rows), default=job.updated_at)),
        "batched": batched,
        "batches_count": len(rows) if batched else 0,
        "total_objects_count": sum(row.records for row in rows),
    }
    if batched:
        status["batches"] = [
            {
                "status": _NUMBERS[row.state],
                "batch_number": row.part + 1,
                "objects_count": row.records,
                "error": str(row.failure) if row.state == FAILED else None,
                "updated_at": instant(_updated(row)),
            }
            for row in rows
        ]
    return status


def _together(states: set[str]) -> int:
    if FAILED in states:
        return FAILED_
    return _NUMBERS[states.pop()] if len(states) == 1 else STARTED_


def _updated(row: Row) -> datetime:
    return max(time for time in (row.queued_at, row.started_at, row.heartbeat_at, row.finished_at) if time)
