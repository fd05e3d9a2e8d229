"""Create a job: check the request and everything that the export needs, then write the job, its rows and its plan."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial

from project_export.archive.oversize import too_large
from project_export.errors import AwaitsTurn, BadRequest, MoveRefused, NotAllowed, StoreRefused
from project_export.ledger import Job, being_exported
from project_export.ledger.states import FAILED
from project_export.plan import Plan
from project_export.request import Request
from project_export.source import title
from project_export.steps.active import RunAlive, living_job, made_active, resume
from project_export.steps.context import Context
from project_export.steps.ending import ending
from project_export.steps.planning import bound_tree, plan_export
from project_export.steps.preflight import SET_UP, all_at_once
from project_export.steps.request import job_request
from project_export.steps.turn import await_turn
from project_export.steps.upload import check_upload
from project_export.steps.windows import Opened, open_window, settle

log = logging.getLogger(__name__)

_CLEAR_ALL = "Only this task was cleared: clear the tasks after it as well."


@dataclass(frozen=True)
class Created:
    """A job and the titles of its units, in the order of their numbers.

    shared: the workers read one common snapshot. joined: the job belongs to another run, so there are no units here.
    project: the name that people use for the project.
    """

    job_id: int
    titles: tuple[str, ...]
    shared: bool = False
    joined: bool = False
    project: str = ""


def create(
    ctx: Context,
    request: Request,
    *,
    run_id: str,
    requested_by: str,
    run_alive: RunAlive,
    followed: bool = True,
    watched: bool = False,
    last_try: bool = False,
    queued: bool = False,
) -> Created:
    """Create the job of a run, start the one that was queued for it, or reopen it if the run was retried or cleared.

    requested_by: the user who triggered the run; its type if nobody did.
    followed: the steps after this one will run. If they will not, an ended job stays ended and no job is created,
    because nothing would end it again.
    watched: somebody may clear failed tasks, so the snapshot is kept for a while after a failure.
    last_try: no retry follows, so any error ends the job that was queued for the run; a permanent error always does.
    queued: the job waits for its turn if settings.exports_at_a_time are running. The caller can wait and call again,
    each time after AwaitsTurn. Otherwise the job starts at once, and does not count.
    If another run is exporting the project, request.if_running decides: `join` returns that job, `wait` waits for the
    turn of a queued job; otherwise JobActive names the other. A job whose run is gone does not count; it is cancelled.
    Raises SettingMissing, SettingRefused, LedgerOutdated, NotAllowed, ProjectNotFound, TreeError, SourceChanged,
    BadRequest (also when the run's job is for another project), DeliveryFailed, StoreRefused (also when the archive
    would not fit), StoreUnusable, TemporaryRefused, JobActive, MoveRefused, WindowOpen; if several problems of the
    set-up are found, NotReady, which lists them.
    """
    with ExitStack() as ends, all_at_once(ctx, request.project_id):

        def ends_with(job: Job) -> None:
            ends.enter_context(ending(ctx, job.id, last_try=last_try, queued_only=True))

        job = _unplanned(ctx, run_id)
        if job is not None:
            ends_with(job)
        return _create(
            ctx,
            request,
            run_id=run_id,
            requested_by=requested_by,
            run_alive=run_alive,
            followed=followed,
            watched=watched,
            queued=queued,
            ends_with=ends_with,
        )


def _unplanned(ctx: Context, run_id: str) -> Job | None:
    """Return the job that was queued for a run and never started; None as well if the ledger cannot be asked."""
    try:
        ctx.ledger.check()
        job = ctx.ledger.queries.job_of_run(run_id)
    except SET_UP:
        return None  # create finds it again, and everything else that is missing
    return job if job and not job.planned else None


def _create(
    ctx: Context,
    request: Request,
    *,
    run_id: str,
    requested_by: str,
    run_alive: RunAlive,
    followed: bool,
    watched: bool,
    queued: bool,
    ends_with: Callable[[Job], None],
) -> Created:
    for name in ctx.required:
        ctx.settings.required(name)
    ctx.ledger.check()
    job = ctx.ledger.queries.job_of_run(run_id)
    if job is not None:
        _require_same(ctx, request, job)
    _require_allowed(ctx, request.project_id, requested_by, job)
    if job is not None and job.planned:
        return _continued(ctx, job, followed=followed)
    if not followed:
        raise MoveRefused(f"No job is created, because nothing would work on it. {_CLEAR_ALL}")
    waiting = queued and request.if_running == "wait"
    if (job is None or job.state == FAILED) and not waiting:
        # Checked first, so that a refused run ends at once; the ledger checks again, and decides.
        other = living_job(ctx, request.project_id, run_alive)
        if other is not None:
            return _taken(request, run_id, other)
    if job is not None:
        again = partial(ctx.ledger.jobs.queue_again, job.id, waiting=waiting)
        found = made_active(ctx, request.project_id, run_alive, again)
        if found.id != job.id:
            return _taken(request, run_id, found)
    elif waiting:
        job = ctx.ledger.jobs.queue(replace(job_request(ctx, request, run_id, requested_by, {}), waiting=True))
        ends_with(job)
    guard = settle(ctx, request, job if waiting else None)  # before its turn, so that it keeps nobody else waiting
    if job is not None and queued:
        await_turn(ctx, job, run_alive)
    window = open_window(ctx, request, guard)
    plan = _plan(ctx, request, window)
    grace_seconds = round(ctx.settings.snapshot_grace_seconds) if watched else 0
    wanted = job_request(ctx, request, run_id, requested_by, plan.as_json(), grace_seconds, window)
    if job is None:
        try:
            most = ctx.settings.exports_at_a_time if queued else None
            start = partial(ctx.ledger.jobs.open, wanted, plan.planned, most=most)
            job = made_active(ctx, request.project_id, run_alive, start)
        except AwaitsTurn:
            known = replace(wanted, plan={"project": plan.project})
            job = made_active(ctx, request.project_id, run_alive, partial(ctx.ledger.jobs.queue, known))
        if job.run_id != run_id:
            return _taken(request, run_id, job)
        if not job.planned:
            ends_with(job)
            await_turn(ctx, job, run_alive)
    if not job.planned:
        job = ctx.ledger.jobs.start(job.id, wanted, plan.planned)
    numbers = (job.id, len(plan.estimates), len(plan.planned), len(plan.titles))
    log.info("job %d: %d relation(s), %d part(s), %d worker(s)", *numbers)
    for unit, name in enumerate(plan.titles):
        log.info("worker %d: %s", unit, name)
    return _created(job)


def _require_same(ctx: Context, request: Request, job: Job) -> None:
    """Raise BadRequest unless the job of this run exports what the run is to export."""
    wanted, its = (ctx.source, ctx.tree.name, request.project_id), (job.source, job.tree, job.project_id)
    if wanted != its:
        texts = [f"project {project} of {source} (tree {tree})" for source, tree, project in (its, wanted)]
        raise BadRequest(
            f"Job {job.id} of this run exports {texts[0]}, but the run asks for {texts[1]}. Trigger a new run."
        )


def _require_allowed(ctx: Context, project_id: int, user_name: str, job: Job | None) -> None:
    """Raise NotAllowed unless the rules let a user export a project. The source is asked only if they name paths.

    job: the run's. One of the same user is accepted: this user was allowed to export the project when it was written,
    by the page or the API, which know the user's teams, or by an earlier create.
    """
    access = ctx.access
    if access is None or (job is not None and job.requested_by == user_name):
        return
    if access.may(user_name, (), project_id, None):
        return
    with ctx.session(f"look up project {project_id}") as session:
        path = title(session, bound_tree(ctx.tree, session, ctx.settings), project_id)
    if not access.may(user_name, (), project_id, path):
        raise NotAllowed(
            f"{user_name} may not export project {project_id}: no rule of PROJECT_EXPORT_ACCESS allows it. "
            "Rules for teams only apply on the page Project exports and in its API, which know the user's teams: "
            "start the export there. A run that no user triggered counts as a user with the name of its type, such as "
            "scheduled."
        )


def _continued(ctx: Context, job: Job, *, followed: bool) -> Created:
    """Reopen the job of this run if it has ended, unless nothing would work on it."""
    if not followed:
        log.warning("job %d stays %s, because nothing would work on it. %s", job.id, job.state, _CLEAR_ALL)
        return _created(job)
    ctx.store.check()
    resume(ctx, job)
    log.info("job %d of this run continues: %d worker(s)", job.id, len(job.plan["titles"]))
    return _created(job)


def _plan(ctx: Context, request: Request, window: Opened | None) -> Plan:
    """Return the plan of an export, after everything else that it needs was checked."""
    ctx.store.check()
    if request.upload_url:
        check_upload(ctx, request.upload_url)
    split = (request.consistency or ctx.settings.consistency) == "project"
    with ctx.session(f"plan project {request.project_id}") as session:
        plan = plan_export(
            session,
            ctx.tree,
            request.project_id,
            request.relations,
            ctx.settings,
            split=split,
            window=window.read if window else None,
        )
    stored = _expected_bytes(ctx, request, plan)
    for remark in too_large(stored, plan.expected.unpacked, ctx.tree.format.limits, expected=True):
        log.warning("expected: %s", remark)
    _require_space(ctx, stored)
    temporary = ctx.temporary()
    temporary.require(most=plan.expected.unpacked - plan.expected.outside)
    if temporary.warning:
        log.warning("%s", temporary.warning)
    return plan


def _taken(request: Request, run_id: str, other: Job) -> Created:
    """Return the job that is exporting the project already, possibly of a twin of this task; or refuse."""
    if other.run_id == run_id:
        return _created(other)
    if request.if_running != "join":
        raise being_exported(other)
    log.info("project %d is being exported by job %d of run %s", request.project_id, other.id, other.run_id)
    return Created(other.id, (), joined=True, project=other.plan.get("project", ""))


def _expected_bytes(ctx: Context, request: Request, plan: Plan) -> int:
    """Return the expected size of the archive: that of the latest one of its series, unless its files have grown.

    If there is none, or only some relations are wanted, it is the plan's.
    """
    past = ctx.ledger.queries.latest_archive(ctx.source, ctx.tree.name, request.project_id, request.mode)
    last = past.archive_bytes if past and not request.relations else None
    return max(last, plan.expected.outside) if last else plan.expected.stored


def _require_space(ctx: Context, expected: int) -> None:
    """Raise StoreRefused if the parts and the archive, each of the expected size, do not fit into a local store."""
    free = ctx.store.free_bytes()
    if free is not None and free < 2 * expected:
        raise StoreRefused(
            f"{ctx.store.uri} has {free} bytes free; the archive may need {expected}, and its parts as much. "
            "Free space there, or let prune_exports run, then retry."
        )


def _created(job: Job) -> Created:
    titles = tuple(job.plan["titles"])
    shared = job.consistency == "project" and len(titles) > 1
    return Created(job.id, titles, shared=shared, project=job.plan.get("project", ""))
