"""The relations of one job and their parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from project_export.airflow.web.views.progress import Expected
from project_export.airflow.web.views.remedies import remedy
from project_export.ledger import RelationProgress, Row
from project_export.ledger.progress import relations_of
from project_export.ledger.states import FAILED, FINISHED, QUEUED, STARTED
from project_export.steps import Owner

_ALMOST = 0.99


@dataclass(frozen=True)
class TaskLog:
    """The log of the task that worked on a part. unit: None for the merge, which exports what is left."""

    unit: int | None
    attempt: int


@dataclass(frozen=True)
class Trouble:
    """An error of a part. again: whether the part waits for its next attempt."""

    part: str
    attempt: int
    text: str
    code: str
    remedy: str
    again: bool


@dataclass(frozen=True)
class Line:
    """A relation, or one of its parts.

    name: of the relation, or `part 2 of 5`. state: queued, running, finished, failed or cancelled. share: done, between
    0 and 1. expected: how much it should have. speed: raw bytes per second, None if unknown. heartbeat: seconds since
    the last one, while it runs. seconds: how long it has taken.
    """

    name: str
    state: str
    attempt: int
    records: int
    raw_bytes: int
    expected: Expected
    share: float
    speed: float | None
    heartbeat: float | None
    seconds: float | None
    troubles: tuple[Trouble, ...]
    log: TaskLog | None
    omissions: tuple[str, ...]
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class Relation:
    """A relation and its parts. parts: empty if it has only one."""

    line: Line
    parts: tuple[Line, ...]

    @property
    def name(self) -> str:
        """The relation's name."""
        return self.line.name


def relations(rows: Sequence[Row], expected: Mapping[str, Expected], now: datetime) -> list[Relation]:
    """Return the relations of a job in the order of the archive.

    rows: of the job, in this order. expected: by relation. now: by the ledger's clock.
    """
    own: dict[str, list[Row]] = {}
    for row in rows:
        own.setdefault(row.relation, []).append(row)
    return [
        _relation(one, own[one.relation], expected.get(one.relation, Expected()), now)
        for one in relations_of(rows, now)
    ]


def _relation(one: RelationProgress, rows: Sequence[Row], expected: Expected, now: datetime) -> Relation:
    parts = [_part(row, _part_of(expected, row.parts), now) for row in rows]
    if len(parts) == 1:
        (part,) = parts
        return Relation(_named(part, one.relation), ())
    cost = sum(row.estimate for row in rows)
    done = sum(part.share * row.estimate for part, row in zip(parts, rows, strict=True))
    seconds = _seconds(rows, now)
    line = Line(
        one.relation,
        _label(one.state, rows),
        one.attempt,
        one.records,
        one.raw_bytes,
        expected,
        done / cost if cost else one.finished / one.parts,
        one.raw_bytes / seconds if seconds else None,
        one.heartbeat_age,
        seconds,
        tuple(trouble for part in parts for trouble in part.troubles),
        None,
        _once(text for row in rows for text in row.omissions),
        _once(text for row in rows for text in row.remarks),
    )
    return Relation(line, tuple(parts))


def _label(state: str, rows: Sequence[Row]) -> str:
    """Return a state in the word for people. What failed only because something else had failed is cancelled."""
    if state == FAILED and all(row.cancelled for row in rows if row.state == FAILED):
        return "cancelled"
    return "running" if state == STARTED else state


def _part(row: Row, expected: Expected, now: datetime) -> Line:
    seconds = _seconds([row], now)
    name = f"part {row.part + 1} of {row.parts}"
    return Line(
        name,
        _label(row.state, [row]),
        row.attempt,
        row.records,
        row.raw_bytes,
        expected,
        _share(row, expected),
        row.raw_bytes / seconds if seconds and row.raw_bytes else None,
        (now - row.heartbeat_at).total_seconds() if row.state == STARTED and row.heartbeat_at else None,
        seconds,
        (_trouble(row, name if row.parts > 1 else ""),) if row.error is not None and not row.cancelled else (),
        _log_of(row),
        row.omissions,
        row.remarks,
    )


def _share(row: Row, expected: Expected) -> float:
    if row.state == FINISHED:
        return 1.0
    if row.state == QUEUED:
        return 0.0
    if expected.raw_bytes:
        return min(row.raw_bytes / expected.raw_bytes, _ALMOST)
    return min(row.records / expected.records, _ALMOST) if expected.records else 0.0


def _seconds(rows: Sequence[Row], now: datetime) -> float | None:
    """Return from when until when any of the rows was read."""
    started = [row.started_at for row in rows if row.started_at]
    if not started:
        return None
    ends = [now if row.state == STARTED else row.finished_at or now for row in rows if row.started_at]
    return max((max(ends) - min(started)).total_seconds(), 0.001)


def _trouble(row: Row, part: str) -> Trouble:
    code = row.error_code or row.sqlstate or ""
    return Trouble(part, row.attempt, row.error or "", code, remedy(code), row.state in (QUEUED, STARTED))


def _log_of(row: Row) -> TaskLog | None:
    owner = Owner.parse(row.owner)
    if owner is None:
        return None
    return TaskLog(owner.unit if owner.unit >= 0 else None, owner.attempt)


def _part_of(expected: Expected, parts: int) -> Expected:
    if parts == 1:
        return expected
    records, size = (
        None if number is None else -(-number // parts) for number in (expected.records, expected.raw_bytes)
    )
    return Expected(records, size)


def _named(line: Line, name: str) -> Line:
    return Line(**{**vars(line), "name": name})


def _once(texts: object) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))  # type: ignore[call-overload]
