"""Changes of state: every one is logged as one line and reported to an observer, once it is committed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, Table

log = logging.getLogger(__name__)

_PENDING = "project_export_changes"


@dataclass(frozen=True)
class Change:
    """One change of a job, or of one of its rows.

    event: what was done: the verb of the state machine, or `admit`, `take over`, `snapshot`. state: the state after it.
    relation, part, parts, attempt: of a row; None for a job. code: of its error. mode, outcome: of a job. records: of a
    finished row or job. bytes: raw ones of a finished row, those of the archive of a finished job. wait_seconds: from
    the request of a job, or from the queueing of a row, to its start. seconds: from its start to its end.
    """

    job_id: int
    event: str
    state: str
    relation: str | None = None
    part: int | None = None
    parts: int | None = None
    attempt: int | None = None
    code: str | None = None
    mode: str | None = None
    outcome: str | None = None
    records: int | None = None
    bytes: int | None = None
    wait_seconds: float | None = None
    seconds: float | None = None

    def __str__(self) -> str:
        """Return it as names and values: `job=7 relation=issues part=0 attempt=2 event=finish state=finished`."""
        named = {"job": self.job_id, "relation": self.relation, "part": self.part, "attempt": self.attempt}
        rest = {
            one.name: getattr(self, one.name) for one in fields(self) if one.name not in (*named, "job_id", "parts")
        }
        given = {name: value for name, value in (named | rest).items() if value is not None}
        return " ".join(f"{name}={_text(value)}" for name, value in given.items())


Observe = Callable[[Change], None]
"""Learns of each change after it is committed. What it raises is logged, and changes nothing."""

_JOB = ("id", "state", "mode", "outcome", "records", "archive_bytes", "created_at", "started_at", "finished_at")
_ROW = (
    *("job_id", "state", "relation", "part", "parts", "attempt", "error_code", "records", "raw_bytes"),
    *("queued_at", "started_at", "finished_at"),
)


def described(table: Table) -> list[Any]:
    """Return the columns of a changed job or row that make a Change."""
    return [table.c[name] for name in (_ROW if "job_id" in table.c else _JOB)]


def pending(connection: Connection) -> list[Change]:
    """Return the list of the changes of a transaction, to which `note` adds."""
    changes: list[Change] = []
    connection.info[_PENDING] = changes
    return changes


def note(connection: Connection, event: str, changed: Iterable[RowMapping]) -> None:
    """Keep the changes of a statement until its transaction is committed. changed: the columns `described`."""
    connection.info[_PENDING] += [_change(event, found) for found in changed]


def report(changes: Iterable[Change], observe: Observe | None) -> None:
    """Log committed changes, and report them to an observer."""
    for change in changes:
        log.info("%s", change)
        if observe is not None:
            try:
                observe(change)
            except Exception:
                log.exception("the observer of changes has failed")


def _change(event: str, found: RowMapping) -> Change:
    state = found["state"]
    started, finished = found["started_at"], found["finished_at"]
    own: dict[str, Any] = {}
    if "job_id" in found:
        own = {name: found[name] for name in ("relation", "part", "parts", "attempt")}
        own |= {"code": None if event == "claim" else found["error_code"], "bytes": found["raw_bytes"]}
        since = found["queued_at"]
    else:
        own = {"mode": found["mode"], "outcome": found["outcome"], "bytes": found["archive_bytes"]}
        since = found["created_at"]
    own["records"] = found["records"]
    if state != "finished":
        own |= {"bytes": None, "records": None}
    if event in ("start", "claim"):
        own["wait_seconds"] = _between(since, started)
    if finished is not None:
        own["seconds"] = _between(started, finished)
    return Change(found.get("job_id") or found["id"], event, state, **own)


def _between(start: datetime | None, end: datetime | None) -> float | None:
    return None if start is None or end is None else max((end - start).total_seconds(), 0.0)


def _text(value: object) -> str:
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    return f'"{text}"' if " " in text else text
