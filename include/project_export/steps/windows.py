"""The window of an export of changes: where it starts, and when nothing that belongs to it can still be committed.

A row gets its time of change from the application's clock before its transaction commits. So a window may only be read
once every transaction has ended that was open at its end; otherwise a row could appear later whose time is in a window
that was already exported. A role with the rights of pg_read_all_stats sees these transactions, and the window waits for
them. For any other role, the next window starts earlier, by an overlap; and always for one that follows a full export,
whose snapshot did not wait for anybody.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from project_export.errors import AwaitsTurn, BadRequest, WindowOpen
from project_export.ledger import Job
from project_export.request import Request
from project_export.settings import Settings
from project_export.source import Session, Window
from project_export.steps.context import Context

log = logging.getLogger(__name__)

TRANSACTIONS, OVERLAP = "transactions", "overlap"
"""What guards a window against late commits: it waited for the transactions, or the next window overlaps it."""

_PATIENCE_SECONDS = 300.0
_GLANCE_SECONDS, _AGAIN_SECONDS = 5.0, 60.0
"""Of a job that can ask again: it frees its slot meanwhile."""
_POLL_SECONDS = 0.5

_RIGHTS = """
    SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AND NOT pg_is_in_recovery(),
        clock_timestamp() >= %(until)s::timestamptz, clock_timestamp() < %(since)s::timestamptz
"""
# Sessions of this package only read. A transaction that is being prepared is found by one of the two queries, since the
# one for open transactions runs first.
_OPEN = """
    SELECT count(*), min(xact_start)::text, min(format('the transaction of process %%s (%%s)', pid, application_name))
    FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start < %(until)s::timestamptz
        AND backend_type NOT IN ('autovacuum worker', 'parallel worker', 'walsender')
        AND application_name NOT LIKE 'project\\_export %%'
"""
_PREPARED = """
    SELECT count(*), min(prepared)::text, min(format('prepared transaction %%L', gid))
    FROM pg_prepared_xacts WHERE database = current_database()
"""


@dataclass(frozen=True)
class Opened:
    """The window of a job.

    start: None if there is nothing that it could follow, so that everything is exported. predecessor_id: the job that
    it follows. guard: TRANSACTIONS or OVERLAP. next_start: where a window that follows this one starts at the latest.
    """

    start: datetime | None
    end: datetime
    predecessor_id: int | None
    guard: str
    next_start: datetime

    @property
    def read(self) -> Window | None:
        """What limits the records that are read."""
        return None if self.start is None else Window(self.start, self.end)

    def kept(self) -> dict[str, Any]:
        """Return what the ledger keeps of it in the plan of the job."""
        return {"window": {"guard": self.guard, "next_start": self.next_start.isoformat()}}


def settle(ctx: Context, request: Request, waiting: Job | None = None) -> str | None:
    """Wait until nothing that belongs to the window of a request can still be committed; return what guards it.

    None for a request of the whole project. waiting: the job that waits for its turn, and for this as well.
    Raises BadRequest if the window's end is in the future, WindowOpen if transactions that may belong to it stay open,
    but AwaitsTurn for a job that may wait for longer; SourceBusy, SourceRefused.
    """
    if request.mode != "changes" or request.window_end is None:
        return None
    try:
        return _settle(ctx, request.window_end, _GLANCE_SECONDS if waiting else _PATIENCE_SECONDS)
    except WindowOpen as error:
        if waiting is None or not ctx.ledger.watch.awaits_run(waiting.id, ctx.settings.window_wait_seconds):
            raise
        raise AwaitsTurn(f"Job {waiting.id} waits: {error}", _AGAIN_SECONDS) from error


def open_window(ctx: Context, request: Request, guard: str | None) -> Opened | None:
    """Return the window of a request for changes; None for a request of the whole project.

    It starts where the last finished window ends, or the last full export, so that nothing is left between the two; or
    earlier if the request asks for that. guard: what `settle` returned.
    """
    if guard is None or request.window_end is None:
        return None
    end, settings = request.window_end, ctx.settings
    last, full = _last(ctx, request, end)
    predecessor = last or full
    starts = [next_start(job, settings) for job in (last, full) if job is not None]
    start = None
    if predecessor is not None and request.window_start is not None:
        start = min(request.window_start, *starts)
    following = end if guard == TRANSACTIONS else _earlier(end, settings)
    opened = Opened(start, end, predecessor.id if predecessor else None, guard, following)
    _report(opened, predecessor)
    return opened


def window_of(job: Job) -> Window | None:
    """Return what limits the records of a job; None if it exports everything."""
    if job.window_start is None or job.window_end is None:
        return None
    return Window(job.window_start, job.window_end)


def next_start(job: Job, settings: Settings) -> datetime:
    """Return where a window that follows a finished job starts at the latest."""
    kept: Mapping[str, str] = job.plan.get("window", {})
    if "next_start" in kept:
        return datetime.fromisoformat(kept["next_start"])
    return _earlier(_base_time(job), settings)


def guard_of(job: Job) -> str:
    """Return what guards the window of a job."""
    return str(job.plan["window"]["guard"])


def _last(ctx: Context, request: Request, end: datetime) -> tuple[Job | None, Job | None]:
    """Return the last finished window before an end, and the last full export if that is newer, or the only one."""
    project = (ctx.source, ctx.tree.name, request.project_id)
    usable = [job for job in ctx.ledger.queries.published(*project) if _covers(job, request)]
    windows = [job for job in usable if job.mode == "changes" and job.window_end and job.window_end < end]
    last = max(windows, key=lambda job: job.window_end or end, default=None)
    fulls = [job for job in usable if job.mode == "full" and _base_time(job) < end]
    full = max(fulls, key=_base_time, default=None)
    if last is not None and full is not None and last.window_end is not None and _base_time(full) < last.window_end:
        full = None
    return last, full


def _covers(job: Job, request: Request) -> bool:
    """Return whether a job exported all relations that a request asks for."""
    has = job.params.get("relations")
    return not has or (bool(request.relations) and set(request.relations) <= set(has))


def _base_time(job: Job) -> datetime:
    """Return the earliest time that a full export shows: of its snapshot, or of its start if it had several."""
    return (job.snapshot_at if job.consistency == "project" else job.started_at) or job.created_at


def _earlier(moment: datetime, settings: Settings) -> datetime:
    return moment - timedelta(seconds=settings.window_overlap_seconds + settings.window_margin_seconds)


def _settle(ctx: Context, end: datetime, patience_seconds: float) -> str:
    """Wait until nothing that belongs to a window can still be committed; return what guards the window."""
    margin = timedelta(seconds=ctx.settings.window_margin_seconds)
    asked = {"since": (end - margin).isoformat(), "until": (end + margin).isoformat()}
    deadline = time.monotonic() + patience_seconds + ctx.settings.window_margin_seconds
    with ctx.session("window") as session:
        while True:
            sees, over, future = session.one(_RIGHTS, asked)
            if future:
                raise BadRequest(f"window_end is in the future: {end.isoformat()}. Export a window once it has ended.")
            found = _blocking(session, asked) if over and sees else None
            if over and not sees:
                return OVERLAP
            if over and found is None:
                return TRANSACTIONS
            if time.monotonic() > deadline:
                raise WindowOpen(
                    f"the window that ends at {end.isoformat()} cannot be read yet: {found}. Its changes may belong to "
                    "the window. Retry, or find out why it stays open."
                )
            log.info("the window that ends at %s waits: %s", end.isoformat(), found or "for the margin of clocks")
            time.sleep(_POLL_SECONDS)
            session.renew()  # within a transaction, the server shows the same list again


def _blocking(session: Session, asked: Mapping[str, str]) -> str | None:
    """Return what may still commit changes of the window; None if nothing may."""
    for query in (_OPEN, _PREPARED):
        count, since, first = session.one(query, asked)
        if count:
            more = f" and {count - 1} more" if count > 1 else ""
            return f"{first}{more} has been open since {since}"
    return None


def _report(opened: Opened, predecessor: Job | None) -> None:
    if predecessor is None:
        log.warning("no earlier export of this project is known, so everything is exported")
    else:
        log.info("changes from %s to %s, after job %d (%s)", opened.start, opened.end, predecessor.id, predecessor.mode)
    if opened.guard == TRANSACTIONS:
        log.info("no transaction from before the end of the window is open")
    else:
        text = (
            "this role lacks pg_read_all_stats on the primary and sees no transactions, so the next window starts at %s"
        )
        log.warning(text, opened.next_start)
