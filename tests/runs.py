"""Exports for tests: the steps on real databases, units in threads, and what came out of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import psycopg

from project_export import ledger
from project_export.merged import Merged
from project_export.request import Request
from project_export.settings import Settings
from project_export.steps import Context, Created, Holder, Merger, Owner, Worker, create
from project_export.tree.parameters import RESERVED
from tests import reader
from tests.archives import Records, read_archive

RUN = "dag/run"
Make = Callable[..., Context]
NO_REPOSITORY = "project.default_branch: comes from the Git repository, which is missing, or whose location is not set"
"""The omission of every export of a project without a location of its repository."""
FROM_GIT = {"default_branch", "source_branch_sha", "target_branch_sha"}
"""Keys that the second reader leaves out, since their values come from the Git repository."""


def context(source: str, ledger_dsn: str, folder: Path, **settings: Any) -> Context:
    """Return a context on a source and a ledger database, whose tables are made, and a store in a folder."""
    engine = ledger.make_engine(ledger_dsn)
    ledger.upgrade(engine)
    defaults: dict[str, Any] = {
        "store": f"file://{folder}",
        "gitlab_version": "18.6.0",
        "gitlab_revision": "0123456789a",
        "unit_cost": 1,
        "units": 3,
        "heartbeat_seconds": 0.1,
        "snapshot_wait_seconds": 5,
    }
    return Context(
        Settings(**{**defaults, **settings}), ledger.Ledger(engine), "source", lambda: psycopg.connect(source)
    )


def started(
    ctx: Context, *relations: str, project_id: int = 1, run_id: str = RUN, watched: bool = False, **request: Any
) -> Created:
    """Create a job, as a run does whose rivals are all alive. request: the tree's parameters among it."""
    own = {name: value for name, value in request.items() if name in RESERVED}
    wanted = Request(
        project_id, relations, **own, parameters={name: request[name] for name in request.keys() - own.keys()}
    )
    return create(ctx, wanted, run_id=run_id, requested_by="jane", run_alive=lambda _: True, watched=watched)


def worker(ctx: Context, created: Created, unit: int = 0, attempt: int = 1, run_id: str = RUN) -> Worker:
    """Return one unit's worker."""
    return Worker(ctx, created.job_id, Owner(run_id, unit, attempt), alone=len(created.titles) == 1)


def work(ctx: Context, created: Created, attempt: int = 1) -> list[BaseException]:
    """Run all units at the same time and return what they raised."""
    units = range(len(created.titles))
    with ThreadPoolExecutor(len(units)) as pool:
        ended = [pool.submit(worker(ctx, created, unit, attempt).run) for unit in units]
        return [error for future in ended if (error := future.exception())]


def merge(ctx: Context, created: Created, attempt: int = 1, *, last_try: bool = True) -> Merged:
    """Run the merge once."""
    return Merger(ctx, created.job_id, run_id=RUN, attempt=attempt, last_try=last_try).run()


@contextmanager
def held(ctx: Context, created: Created) -> Iterator[None]:
    """Hold the job's snapshot, as the triggerer does."""
    over = Event()

    def touch(holder: Holder) -> None:
        while not over.wait(0.1):
            holder.needed()

    with closing(Holder(ctx, created.job_id)) as holder:
        thread = Thread(target=touch, args=(holder,))
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def attempts(ctx: Context, created: Created) -> dict[str, int]:
    """Return the number of attempts of each relation."""
    return {row.relation: row.attempt for row in ctx.ledger.queries.rows(created.job_id)}


def path_of(merged: Merged) -> Path:
    """Return where the archive lies."""
    return Path(merged.uri.removeprefix("file://"))


def files(folder: Path) -> list[str]:
    """Return all files below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def assert_same(archive: Path, database: str, project_id: int = 1, *relations: str) -> None:
    """Hold an archive against the second reader: the same records with the same keys, in the same order."""
    with psycopg.connect(database) as conn:
        expected = reader.read_project(conn, project_id)
    names = {"project", *relations} if relations else set(expected)
    assert_equal(read_archive(archive), {name: expected[name] for name in names if expected[name]})


def assert_equal(found: Records, expected: Records) -> None:
    """Compare records relation by relation, so that a difference is named."""
    assert set(found) == set(expected)
    for name, records in expected.items():
        assert len(found[name]) == len(records), name
        for one, other in zip(found[name], records, strict=True):
            assert _ordered(one) == _ordered(other), name


def _ordered(value: Any) -> Any:
    """Return objects as lists of pairs, whose order counts; textColor last, as GitLab adds it to a finished record."""
    if isinstance(value, list):
        return [_ordered(item) for item in value]
    if not isinstance(value, dict):
        return value
    pairs = [(key, _ordered(item)) for key, item in value.items() if key not in FROM_GIT]
    return sorted(pairs, key=lambda pair: pair[0] == "textColor")


def wait_until(true: Callable[[], Any], seconds: float = 20) -> Any:
    """Wait until something is so, and return it."""
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, "it did not become so"
        time.sleep(0.02)
    return found


def backends(database: str, name: str = "project_export") -> list[str]:
    """Return the application names of the sessions on a database that begin so."""
    with psycopg.connect(database) as conn:
        query = "SELECT application_name FROM pg_stat_activity WHERE datname = %s AND starts_with(application_name, %s)"
        return [row[0] for row in conn.execute(query, [conn.info.dbname, name])]


def terminate(database: str, name: str) -> None:
    """End the sessions on a database whose application name is like this."""
    query = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name LIKE %s"
    )
    with psycopg.connect(database) as conn:
        conn.execute(query, [name])


@contextmanager
def locked(database: str, table: str) -> Iterator[psycopg.Connection[Any]]:
    """Lock a table so that nobody can read it."""
    with psycopg.connect(database) as conn:
        conn.execute(psycopg.sql.SQL("LOCK TABLE {}").format(psycopg.sql.Identifier(table)))
        yield conn
        conn.rollback()
