"""When each relation was exported, as bars, and what held the job back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from project_export.airflow.web.views.words import duration
from project_export.ledger import Job, Row
from project_export.ledger.states import STARTED
from project_export.steps import Owner

WIDTH = 1000
"""Width of the drawing; each bar is between 0 and this."""

_LANES = 8
"""A relation with more parts gets one bar."""
_LANE, _GAP = 10, 2
_NARROWEST = 2
_TICKS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
_MOST_TICKS = 6
_WAITED_SHARE = 0.3


@dataclass(frozen=True)
class Bar:
    """One bar of the drawing. critical: whether the job had to wait for it. label: what it shows."""

    x: int
    y: int
    width: int
    height: int
    state: str
    critical: bool
    label: str


@dataclass(frozen=True)
class Lane:
    """The bars of one relation, or of a step of the job. height: of the drawing. text: when it was, for people."""

    name: str
    bars: tuple[Bar, ...]
    height: int
    critical: bool
    text: str


@dataclass(frozen=True)
class Tick:
    """A mark on the axis."""

    x: int
    text: str


@dataclass(frozen=True)
class Timeline:
    """The drawing. summary: what held the job back, in words; empty if nothing has started."""

    lanes: tuple[Lane, ...]
    ticks: tuple[Tick, ...]
    summary: str
    seconds: float


@dataclass(frozen=True)
class _Span:
    row: Row
    start: datetime
    end: datetime

    @property
    def seconds(self) -> float:
        return (self.end - self.start).total_seconds()


def timeline(job: Job, rows: Sequence[Row], now: datetime) -> Timeline:
    """Return the timeline of a job, which starts when the job was created. now: by the ledger's clock."""
    spans = [_Span(row, row.started_at, _end(row, now)) for row in rows if row.started_at]
    start = job.created_at
    end = max([job.finished_at or now, *(span.end for span in spans)])
    whole = max((end - start).total_seconds(), 0.001)
    scale = _Scale(start, whole)
    critical = critical_spans(spans)
    held = {span.row.id for span in critical}
    lanes = [_lane(scale, relation, own, held) for relation, own in _by_relation(spans).items()]
    lanes.sort(key=lambda lane: (min(bar.x for bar in lane.bars), -max(bar.x + bar.width for bar in lane.bars)))
    if spans:
        first, last = min(span.start for span in spans), max(span.end for span in spans)
        turn = min(job.admitted_at or start, first)
        before = [*_step(scale, "wait for its turn", start, turn), *_step(scale, "wait for workers", turn, first)]
        lanes = [*before, *lanes]
        if job.finished_at:
            lanes += _step(scale, "wait, merge, publish", last, job.finished_at)
        summary = _waited((turn - start).total_seconds(), (first - turn).total_seconds(), whole)
        summary += _summary(critical, spans)
    else:
        summary = ""
    return Timeline(tuple(lanes), tuple(_ticks(whole)), summary, whole)


def critical_spans(spans: Sequence[_Span]) -> list[_Span]:
    """Return the parts that the job had to wait for, first to last.

    The last part to end is one of them, and so is what its worker did before that: without it, the last part would have
    been earlier.
    """
    if not spans:
        return []
    found = [max(spans, key=lambda span: (span.end, span.seconds))]
    worker = _worker(found[0].row)
    before = sorted((span for span in spans if _worker(span.row) == worker), key=lambda span: span.start)
    if worker is not None:
        found = [span for span in before if span.end <= found[0].start] + found
    return found


def _worker(row: Row) -> int | None:
    owner = Owner.parse(row.owner)
    return None if owner is None else owner.unit


def _by_relation(spans: Sequence[_Span]) -> dict[str, list[_Span]]:
    own: dict[str, list[_Span]] = {}
    for span in spans:
        own.setdefault(span.row.relation, []).append(span)
    return own


class _Scale:
    def __init__(self, start: datetime, seconds: float) -> None:
        self._start = start
        self._seconds = seconds

    def at(self, time: datetime) -> int:
        share = (time - self._start).total_seconds() / self._seconds
        return round(min(max(share, 0), 1) * WIDTH)

    def bar(self, start: datetime, end: datetime, lane: int, state: str, critical: bool, label: str) -> Bar:
        x = min(self.at(start), WIDTH - _NARROWEST)
        width = max(self.at(end) - x, _NARROWEST)
        return Bar(x, lane * (_LANE + _GAP), width, _LANE, state, critical, label)

    def since(self, time: datetime) -> str:
        return duration((time - self._start).total_seconds())


def _lane(scale: _Scale, relation: str, spans: Sequence[_Span], held: set[int]) -> Lane:
    start, end = min(span.start for span in spans), max(span.end for span in spans)
    is_held = any(span.row.id in held for span in spans)
    if len(spans) <= _LANES:
        bars = tuple(
            scale.bar(span.start, span.end, number, span.row.state, span.row.id in held, _label(span))
            for number, span in enumerate(spans)
        )
    else:
        states = {span.row.state for span in spans}
        state = next((one for one in ("failed", "started", "queued") if one in states), "finished")
        bars = (scale.bar(start, end, 0, state, is_held, f"{len(spans)} parts"),)
    parts = f"{len(spans)} parts, " if len(spans) > 1 else ""
    text = f"{parts}{duration((end - start).total_seconds())}, from {scale.since(start)} to {scale.since(end)}"
    return Lane(relation, bars, _height(bars), is_held, text)


def _label(span: _Span) -> str:
    part = f"part {span.row.part + 1} of {span.row.parts}, " if span.row.parts > 1 else ""
    return f"{part}{span.row.state}, {duration(span.seconds)}"


def _step(scale: _Scale, name: str, start: datetime, end: datetime) -> list[Lane]:
    """Return the lane of what the job did while no relation was exported; none if that took no time."""
    if end - start < timedelta(milliseconds=100):
        return []
    took = duration((end - start).total_seconds())
    bar = scale.bar(start, end, 0, "step", critical=False, label=f"{name}, {took}")
    text = f"{took}, from {scale.since(start)} to {scale.since(end)}"
    return [Lane(name, (bar,), _height((bar,)), critical=False, text=text)]


def _waited(turn: float, tasks: float, whole: float) -> str:
    """Say what the job waited for before its first relation, if that is a large share of its time. All in seconds."""
    seconds = turn + tasks
    if seconds < _WAITED_SHARE * whole or seconds < 1:
        return ""
    text = f"The first relation started after {duration(seconds)}; until then, the job waited for its tasks"
    return f"{text}, and {duration(turn)} of that for its turn, after other exports. " if turn >= 1 else f"{text}. "


def _height(bars: Sequence[Bar]) -> int:
    return max(bar.y + bar.height for bar in bars)


def _end(row: Row, now: datetime) -> datetime:
    assert row.started_at is not None
    return max(row.started_at, now if row.state == STARTED else row.finished_at or row.started_at)


def _ticks(seconds: float) -> list[Tick]:
    step = next((step for step in _TICKS if seconds / step <= _MOST_TICKS), _TICKS[-1])
    return [Tick(round(at / seconds * WIDTH), duration(at) if at else "0") for at in range(0, int(seconds) + 1, step)]


def _summary(critical: Sequence[_Span], spans: Sequence[_Span]) -> str:
    if not critical:
        return ""
    last, before = critical[-1], critical[:-1]
    took = duration(last.seconds)
    if last.row.state == STARTED:
        text = f"{_what(last)} has been running for {took}."
    else:
        text = f"{_what(last)} ended last, after {took}."
    if before:
        longest = sorted(before, key=lambda span: -span.seconds)[:3]
        busy = duration(sum(span.seconds for span in before))
        text += f" Its worker had been busy for {busy} before, mostly with {_and([_what(span) for span in longest])}."
    others = [span.end for span in spans if _worker(span.row) != _worker(last.row)]
    alone = (last.end - max([last.start, *others])).total_seconds() if others else 0
    if alone >= 1:
        text += f" No other worker was exporting for the last {duration(alone)}."
    return text


def _what(span: _Span) -> str:
    row = span.row
    return f"{row.relation} (part {row.part + 1} of {row.parts})" if row.parts > 1 else row.relation


def _and(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
