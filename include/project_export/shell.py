"""An export without Airflow: the same steps, with one process per worker, on this machine.

The ledger is a SQLite file in the output folder unless another one is given. Ctrl-C cancels the running queries and
fails the job; the same command resumes it.
"""

from __future__ import annotations

import getpass
import json
import logging
import multiprocessing
import re
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from project_export import ledger, libpq
from project_export.errors import WHOLE, BadRequest, Failure, ProjectExportError, Retryable, SourceBusy, Stopped
from project_export.ledger.states import PENDING
from project_export.merged import Merged
from project_export.request import Request
from project_export.settings import Settings
from project_export.steps import (
    Context,
    Created,
    Holder,
    Merger,
    Owner,
    Silence,
    Worker,
    all_at_once,
    create,
    watch,
)
from project_export.steps.preflight import LEDGER, STORE
from project_export.steps.process import Process
from project_export.store.uris import uri_of
from project_export.tree import load

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.2
_RUN = "shell:"

Show = Callable[[Sequence[ledger.RelationProgress]], None]


@dataclass(frozen=True)
class Locations:
    """What a shell export reads and writes: the source's DSN, the output folder, and the ledger's DSN.

    A DSN is a libpq URI or keyword string. Without a DSN, the ledger is a SQLite file in the folder.
    """

    source: str
    out: Path
    ledger_dsn: str = ""

    def context(self, settings: Settings) -> Context:
        """Return the steps' context; create or migrate a SQLite ledger."""
        engine = ledger.make_engine(self.ledger_dsn or sqlite_of(self.out))
        self.out.mkdir(parents=True, exist_ok=True)
        if not self.ledger_dsn:
            ledger.upgrade(engine)
        return self._over(ledger.Ledger(engine, listen=settings.ledger_listen), settings)

    def require(self, settings: Settings, project_id: int) -> None:
        """Raise what would prevent an export, without touching the folder: SettingMissing, NotReady."""
        blank = self._over(ledger.Ledger(ledger.make_engine("sqlite://")), settings)
        with all_at_once(blank, project_id, without=(LEDGER, STORE)):
            for name in blank.required:
                blank.settings.required(name)

    def _over(self, kept: ledger.Ledger, settings: Settings) -> Context:
        settings = settings.model_copy(update={"store": uri_of(self.out.resolve())})
        return Context(settings, kept, source_name(self.source), lambda: libpq.connect(self.source))


def sqlite_of(out: Path) -> str:
    """Return the DSN of the ledger that an export keeps in its output folder."""
    return f"sqlite:///{out.resolve()}/ledger.sqlite"


def kept_ledger(out: Path | None, dsn: str) -> ledger.Ledger:
    """Return the ledger of a DSN or of an output folder. Raises BadRequest if there is none, LedgerOutdated."""
    if not dsn:
        if out is None:
            raise BadRequest("no ledger was given: use --out with the folder of an export, or --ledger with a DSN")
        dsn = sqlite_of(out)
        if not Path(dsn.removeprefix("sqlite:///")).exists():
            raise BadRequest(f"{out} has no ledger: nothing was exported to it, or its exports used another --ledger")
    kept = ledger.Ledger(ledger.make_engine(dsn))
    kept.check()
    return kept


def source_name(dsn: str) -> str:
    """Return a name for the database of a DSN, without its credentials, that can be part of a path.

    >>> source_name("postgresql://user:secret@db.example:5432/gitlab")
    'db.example-5432-gitlab'
    """
    try:
        parts = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        # libpq's own message may show part of the password
        message = "the source is neither a libpq URI nor a keyword string"
        raise BadRequest(f"{message}; in a URI write @ : / ? # % of a password as %40 and so on") from None
    name = "-".join(str(parts[key]) for key in ("host", "port", "dbname") if parts.get(key))
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name).lstrip(".") or "local"


def export(
    at: Locations, params: dict[str, Any], settings: Settings, jobs: int, show: Show, *, anew: bool = False
) -> Merged:
    """Export one project and return its archive.

    An interrupted or failed job of the same request is resumed, unless `anew`. The relations that it exported are kept,
    unless all relations must be read from one snapshot, which has ended with its process.
    params: like the DAG's. jobs: maximum number of processes. show: called with the relations' progress while it runs.
    Raises what the steps raise; KeyboardInterrupt after the job has been marked failed.
    """
    settings = settings.model_copy(update={"units": jobs})
    request = Request.from_params(params, load(settings.tree, settings.edition))
    at.require(settings, request.project_id)
    ctx = at.context(settings)
    run_id = f"{_RUN}{Process.this()}:{uuid.uuid4().hex[:8]}"
    if not anew:
        with all_at_once(ctx, request.project_id):
            ctx.ledger.check()
            _take_up(ctx, request, run_id)
    created = create(ctx, request, run_id=run_id, requested_by=getpass.getuser(), run_alive=run_alive)
    try:
        with closing(_Snapshot(ctx, created)) as snapshot:
            _work(at, ctx, created, run_id, snapshot, show)
            return _merge(ctx, created, run_id)
    except BaseException as error:
        if ctx.ledger.queries.job(created.job_id).state in PENDING:
            reason = str(error) if isinstance(error, ProjectExportError) else "the export was interrupted"
            ctx.ledger.jobs.fail(created.job_id, [Failure(WHOLE, 0, reason)])
        if isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt(f"job {created.job_id}; the same command continues it") from None
        raise


def _take_up(ctx: Context, request: Request, run_id: str) -> None:
    """Let this run own the project's latest job, if that is an unfinished job of a shell with the same request."""
    job = ctx.ledger.queries.latest_job(ctx.source, ctx.tree.name, request.project_id, request.mode)
    if job is None or not job.run_id.startswith(_RUN) or job.state == "finished":
        return
    same = (job.params, job.consistency) == (
        json.loads(json.dumps(request.kept())),
        request.consistency or ctx.settings.consistency,
    )
    rows = ctx.ledger.queries.rows(job.id)
    here = all(row.uri is None or row.uri.startswith(f"{ctx.store.uri}/") for row in rows)
    if not same or not here or (job.state in PENDING and run_alive(job.run_id)):
        return
    if ctx.ledger.jobs.take_over(job, run_id):
        done = sum(row.state == "finished" for row in rows)
        text = "job %d continues: %d of its %d relation(s) or part(s) were exported (`--anew` starts from scratch)"
        log.warning(text, job.id, done, len(rows))


class _Snapshot:
    """Holds the snapshot that the workers share, if they share one, until no relation needs it."""

    def __init__(self, ctx: Context, created: Created) -> None:
        self._ctx = ctx
        self._job_id = created.job_id
        self._wanted = created.shared
        self._holder = Holder.of(ctx, created.job_id) if created.shared else None

    def touch(self) -> None:
        """Keep the snapshot alive while it is needed. If it is lost, hold a new one; all relations are read again."""
        if not self._wanted:
            return
        try:
            if self._holder is None:
                self._holder = Holder.of(self._ctx, self._job_id)
                self._wanted = self._holder is not None
            elif not self._holder.needed():
                self.close()
        except SourceBusy as error:
            log.warning("the snapshot was lost: %s", error)
            self._let_go()

    def close(self) -> None:
        """Release it."""
        self._wanted = False
        self._let_go()

    def _let_go(self) -> None:
        holder, self._holder = self._holder, None
        if holder is not None:
            holder.close()


def _work(at: Locations, ctx: Context, created: Created, run_id: str, snapshot: _Snapshot, show: Show) -> None:
    alone = len(created.titles) == 1
    spawn = multiprocessing.get_context("spawn")
    units: dict[int, BaseProcess] = {}
    try:
        # Ctrl-C reaches every process of the terminal. Workers inherit that SIGINT is blocked: this process ends them.
        resource_tracker.ensure_running()  # its start would unblock it again
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            for unit in range(len(created.titles)):
                arguments = (at, ctx.settings, created.job_id, Owner(run_id, unit, 1), alone)
                started = spawn.Process(target=_unit, args=arguments, name=f"worker {unit}")
                started.start()
                units[unit] = started
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        over, silence = False, Silence(ctx.settings)
        while not over:
            time.sleep(_POLL_SECONDS)
            with _undisturbed():
                ended = {unit: _how(process) for unit, process in units.items() if not process.is_alive()}
                _, over = watch(ctx, created.job_id, ended, silence)
                show(ctx.ledger.queries.relations(created.job_id))
                snapshot.touch()
    except BaseException:
        for process in units.values():
            process.terminate()
        raise
    finally:
        for process in units.values():
            process.join()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Delay Ctrl-C and SIGTERM until the block ends: inside a driver they would break more than the statement."""
    came: list[int] = []
    before = {
        sign: signal.signal(sign, lambda number, _: came.append(number)) for sign in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for sign, handler in before.items():
            signal.signal(sign, handler)
    if came:
        signal.raise_signal(came[0])


def _merge(ctx: Context, created: Created, run_id: str) -> Merged:
    """Merge, with the retries of a scheduler. The snapshot is still held, for relations that the merge exports."""
    tries = ctx.settings.max_attempts
    for attempt in range(1, tries):
        try:
            return Merger(ctx, created.job_id, run_id=run_id, attempt=attempt, last_try=False).run()
        except Retryable as error:
            log.warning("%s", error)
            time.sleep(2.0**attempt)
    return Merger(ctx, created.job_id, run_id=run_id, attempt=tries, last_try=True).run()


def _unit(at: Locations, settings: Settings, job_id: int, owner: Owner, alone: bool) -> None:
    """Run one worker in its own process. The exit code says how it ended, the ledger says why."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    worker = Worker(at.context(settings), job_id, owner, alone=alone)
    signal.signal(signal.SIGTERM, lambda *_: worker.cancel())
    try:
        worker.run()
    except Stopped:
        sys.exit(3)
    except ProjectExportError:
        sys.exit(1)  # each failure has been logged and written to the ledger


def _how(process: BaseProcess) -> str:
    code = process.exitcode
    return "success" if code == 0 else f"failed (exit code {code})"


def run_alive(run_id: str) -> bool:
    """Return whether a run may still be working; a run of Airflow or on another machine always may."""
    kind, _, name = run_id.partition(":")
    process = Process.parse(name.rpartition(":")[0])
    return kind != "shell" or process is None or process.alive
