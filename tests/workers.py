"""Workers that wait for a lock, workers that died, and the rows they hold."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import psycopg

from project_export.ledger import Row
from project_export.steps import Context, Created, Worker
from tests.runs import RUN, wait_until, worker


def row(ctx: Context, created: Created, relation: str = "labels") -> Row:
    """Return the row of a relation that has one part."""
    return next(row for row in ctx.ledger.queries.rows(created.job_id) if row.relation == relation)


def blocked(ctx: Context, created: Created, source: str, pool: ThreadPoolExecutor) -> tuple[Worker, Future[Any]]:
    """Start a unit and wait until it waits for the lock on labels."""
    unit = worker(ctx, created)
    working = pool.submit(unit.run)
    wait_until(lambda: row(ctx, created).state == "started")
    wait_until(lambda: waiting(source))
    return unit, working


def waiting(source: str) -> list[str]:
    """Return the names of the sessions that wait for a lock."""
    with psycopg.connect(source) as conn:
        query = "SELECT application_name FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
        return [name for (name,) in conn.execute(query, [conn.info.dbname])]


def die(ctx: Context, created: Created, unit: int = 0, attempt: int = 1) -> str:
    """Claim a row as a process does that then dies; return its relation."""
    claim = ctx.ledger.claims.claim(created.job_id, unit, f"{RUN}/{unit}/{attempt}")
    assert claim is not None
    return claim.relation
