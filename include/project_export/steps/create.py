"""Create a job: check the request and everything the export will need, then write the job, its rows and its plan."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from project_export.errors import BadRequest, Failure, JobActive, SourceBusy, SourceRefused, nearest
from project_export.ledger import Job, JobRequest
from project_export.plan import make_plan
from project_export.settings import Consistency
from project_export.source import Reader, Session
from project_export.steps.context import Context
from project_export.tree import Tree, bind, tables

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What somebody asks for.

    relations: names of top-level relations, all when empty; the root's record is always exported.
    description: replaces the project's own in the archive. consistency: None leaves it to the settings.
    """

    project_id: int
    relations: tuple[str, ...] = ()
    description: str | None = None
    consistency: Consistency | None = None

    @classmethod
    def from_params(cls, params: Mapping[str, Any], tree: Tree) -> Request:
        """Check parameters as they come from a form or a REST call. Raises BadRequest, naming what is valid."""
        valid = [field.name for field in fields(cls)]
        for name in params:
            if name not in valid:
                raise BadRequest(f"parameter {name} is unknown; {nearest(name, valid)}")
        project_id = params.get("project_id")
        if not isinstance(project_id, int) or isinstance(project_id, bool) or not 0 < project_id < 1 << 63:
            raise BadRequest(f"project_id must be a positive integer (of 64 bits), not {project_id!r}")
        relations = params.get("relations")
        relations = () if relations is None else relations
        if not isinstance(relations, (list, tuple)) or not all(isinstance(name, str) for name in relations):
            raise BadRequest(f"relations must be a list of names, not {relations!r}")
        for name in relations:
            if name not in tree.names:
                raise BadRequest(f"relation {name} is unknown; {nearest(name, tree.names)}")
        description = params.get("description")
        if description is not None and not (isinstance(description, str) and _storable(description)):
            raise BadRequest(f"description must be a text without NUL and halves of surrogates, not {description!r}")
        consistency = params.get("consistency")
        if consistency not in (None, "relation", "project"):
            raise BadRequest(f"consistency must be relation or project, not {consistency!r}")
        return cls(project_id, tuple(dict.fromkeys(relations)), description or None, consistency)


@dataclass(frozen=True)
class Created:
    """A job and the titles of its units, in the order of their numbers. shared: units read one common snapshot."""

    job_id: int
    titles: tuple[str, ...]
    shared: bool


def create(
    ctx: Context, request: Request, *, run_id: str, requested_by: str, run_alive: Callable[[str], bool]
) -> Created:
    """Create the job of a run, or take up the one it has (the run was retried or cleared).

    run_alive: whether a run may still be working; an active job of this project whose run is not is failed as
    cancelled, and its place is taken.
    Raises SettingMissing, LedgerOutdated, ProjectNotFound, TreeError, SourceChanged, StoreRefused, JobActive.
    """
    for name in ("store", "gitlab_version", "gitlab_revision"):
        ctx.settings.required(name)
    ctx.ledger.check()
    ctx.store.check()
    job = ctx.ledger.job_of_run(run_id)
    if job is not None:
        resume(ctx, job)
        log.info("job %d of this run goes on: %d unit(s)", job.id, len(job.plan["titles"]))
        return _created(job)
    consistency = request.consistency or ctx.settings.consistency
    names = [name for name in ctx.tree.names if _wanted(name, request, ctx.tree)]
    with ctx.session(f"plan project {request.project_id}") as session:
        bound = bind(ctx.tree, session.catalogue(tables(ctx.tree)))
        for item in bound.left_out:
            log.warning("%s", item)
        reader = Reader(session, bound, request.project_id)
        counts = {name: _count(session, reader, name) for name in names}
    plan = make_plan(ctx.tree, counts, ctx.settings, split=consistency == "project")
    job_request = JobRequest(
        source=ctx.source,
        tree=ctx.tree.name,
        project_id=request.project_id,
        run_id=run_id,
        requested_by=requested_by,
        consistency=consistency,
        description=request.description,
        params=asdict(request),
        plan=plan.as_json(),
    )
    try:
        job = ctx.ledger.open_job(job_request, plan.planned)
    except JobActive:
        if not _taken_over(ctx, request.project_id, run_alive):
            raise
        job = ctx.ledger.open_job(job_request, plan.planned)
    log.info("job %d: %d relation(s), %d part(s), %d unit(s)", job.id, len(names), len(plan.planned), len(plan.titles))
    for unit, title in enumerate(plan.titles):
        log.info("unit %d: %s", unit, title)
    return _created(job)


def resume(ctx: Context, job: Job) -> None:
    """Start an ended job again: what failed is queued anew, of a finished job, which is wanted again, everything."""
    if job.state not in ("failed", "finished") or not ctx.ledger.reopen_job(job.id):
        return
    again = ("failed",) if job.state == "failed" else ("failed", "finished")
    rows = {row.id: row.attempt for row in ctx.ledger.rows(job.id) if row.state in again}
    ctx.ledger.requeue(rows, "the run was cleared or retried")
    log.info("job %d was %s and is open again; %d relation(s) are exported anew", job.id, job.state, len(rows))


def _created(job: Job) -> Created:
    titles = tuple(job.plan["titles"])
    return Created(job.id, titles, shared=job.consistency == "project" and len(titles) > 1)


def _count(session: Session, reader: Reader, name: str) -> int:
    """Return the number of a relation's records; what cannot be counted is planned as small, and fails by itself."""
    try:
        with session.attempt(f"count {name}"):
            return reader.count(name)
    except (SourceRefused, SourceBusy) as error:
        if session.lost:
            raise
        log.warning("%s cannot be counted: %s", name, error)
        return 1


def _storable(text: str) -> bool:
    """Whether PostgreSQL can keep a text."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _wanted(name: str, request: Request, tree: Tree) -> bool:
    return not request.relations or name in request.relations or name == tree.root.name


def _taken_over(ctx: Context, project_id: int, run_alive: Callable[[str], bool]) -> bool:
    """Fail the project's active job when its run is gone; return whether the place is free now."""
    other = ctx.ledger.active_job(ctx.source, ctx.tree.name, project_id)
    if other is None:
        return True
    if run_alive(other.run_id):
        return False
    message = f"run {other.run_id} was cancelled or is gone"
    log.warning("job %d is failed: %s", other.id, message)
    ctx.ledger.fail_job(other.id, [Failure("*", 0, message)])
    return True
