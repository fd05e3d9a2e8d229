"""Which archives of a series stay although they have expired: the last ones of days, weeks and months, and bases.

A series consists of the archives of a project in one mode, from one source by one tree. Days are those of UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone

Series = tuple[str, str, int, str]
"""Source, tree, project and mode."""


@dataclass(frozen=True)
class Keep:
    """The numbers of days, ISO weeks and months with archives that keep the last one of each series."""

    daily: int = 0
    weekly: int = 0
    monthly: int = 0


@dataclass(frozen=True)
class Kept:
    """One archive. job_id: of its job. at: the end of its window, or when its export ended.

    whole: whether it has all relations, and its export has succeeded; only such archives represent a day. expired: it
    is old enough to be removed. predecessor_id: the job whose archive it complements.
    """

    job_id: int
    series: Series
    at: datetime
    whole: bool
    expired: bool
    predecessor_id: int | None = None

    @property
    def day(self) -> date:
        """The day that it is the archive of. A window that ends at midnight belongs to the day before."""
        return (self.at.astimezone(timezone.utc) - timedelta(microseconds=1)).date()


_PERIODS: Mapping[str, Callable[[date], tuple[int, ...]]] = {
    "daily": lambda day: (day.toordinal(),),
    "weekly": lambda day: day.isocalendar()[:2],
    "monthly": lambda day: (day.year, day.month),
}


def staying(archives: Sequence[Kept], keep: Keep, needed: Collection[int] = ()) -> dict[int, str]:
    """Return why expired archives stay, by the ids of their jobs.

    needed: ids of jobs whose archives active jobs complement. An archive stays as well while another one that stays, or
    has not expired, complements it, directly or through others.

    >>> noon = datetime(2026, 11, 27, 12, tzinfo=timezone.utc)
    >>> series = ("main", "gitlab", 42, "full")
    >>> staying([Kept(1, series, noon, True, True), Kept(2, series, noon, True, True)], Keep(daily=7))
    {2: 'the last archive of 2026-11-27 (daily)'}
    """
    reasons: dict[int, str] = {}
    of_series: dict[Series, list[Kept]] = {}
    for archive in sorted(archives, key=lambda one: (one.at, one.job_id), reverse=True):
        if archive.whole:
            of_series.setdefault(archive.series, []).append(archive)
    for own in of_series.values():
        for archive, reason in _last(own, keep):
            reasons.setdefault(archive.job_id, reason)
    by_id = {archive.job_id: archive for archive in archives}
    bases = [(by_id[job_id], "an active job needs it") for job_id in needed if job_id in by_id]
    for archive in archives:
        if not archive.expired or archive.job_id in reasons:
            bases += _base(archive, by_id)
    while bases:
        archive, reason = bases.pop()
        if archive.job_id not in reasons:
            reasons[archive.job_id] = reason
            bases += _base(archive, by_id)
    return {job_id: reason for job_id, reason in sorted(reasons.items()) if by_id[job_id].expired}


def _last(newest_first: Sequence[Kept], keep: Keep) -> Iterable[tuple[Kept, str]]:
    for name, period in _PERIODS.items():
        seen: set[tuple[int, ...]] = set()
        for archive in newest_first:
            number = period(archive.day)
            if number not in seen and len(seen) < getattr(keep, name):
                seen.add(number)
                yield archive, f"the last archive of {archive.day} ({name})"


def _base(archive: Kept, by_id: Mapping[int, Kept]) -> list[tuple[Kept, str]]:
    base = by_id.get(archive.predecessor_id) if archive.predecessor_id is not None else None
    return [] if base is None else [(base, f"the archive of job {archive.job_id} needs it")]
