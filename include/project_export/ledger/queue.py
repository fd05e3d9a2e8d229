"""Admission: which queued jobs may start, so that each user gets a fair share of a limited number of exports.

Every queued job asks again and again. The order is a pure function of what the ledger has; a lock makes the answer and
the admission one step, so two callers never get the same place.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from sqlalchemy import Connection, and_, exists, func, or_, select, update
from sqlalchemy.exc import IntegrityError

from project_export.errors import AwaitsTurn
from project_export.ledger.columns import clock
from project_export.ledger.database import Database, announce
from project_export.ledger.models import ProjectExportJob, RelationExport
from project_export.ledger.reading import jobs_where, the_job
from project_export.ledger.records import Job
from project_export.ledger.states import PENDING, QUEUED

AWAKE_SECONDS = 120.0
"""How long a queued job keeps its place after it has asked. One that asks less often does not keep others waiting."""

_LOCK = 0x50455155
"""The key of PostgreSQL's advisory lock, the same in every version of this package."""
_NEVER = datetime.min.replace(tzinfo=timezone.utc)

Project = tuple[str, str, int]
"""Source, tree and id of a project."""


@dataclass(frozen=True)
class Turn:
    """Whether the turn of a job has come. ahead: how many exports have to end before, as far as is known.

    blocker: the id of the job that its project waits for, None if only the number of exports is in the way.
    """

    admitted: bool
    ahead: int = 0
    blocker: int | None = None


@dataclass(frozen=True)
class Queued:
    """A job that has not been admitted. awake: it has asked within AWAKE_SECONDS."""

    id: int
    project: Project
    user: str
    waiting: bool
    window_start: datetime | None
    awake: bool

    @property
    def within_project(self) -> tuple[datetime, int]:
        """Its place among the jobs of its project that wait: the oldest window first, then the order of arrival."""
        return self.window_start or _NEVER, self.id


@dataclass(frozen=True)
class Standing:
    """What decides about turns.

    queued: jobs that have not been admitted. active: the active job of each project that has one. running: the numbers
    of admitted jobs that have not ended, by user. last: when a job of each user was last admitted.
    """

    queued: Sequence[Queued]
    active: Mapping[Project, int]
    running: Mapping[str, int]
    last: Mapping[str, datetime]

    def turn(self, job_id: int, most: int) -> Turn:
        """Return the turn of a queued job, while at most `most` exports may run at a time."""
        mine = next(one for one in self.queued if one.id == job_id)
        if mine.waiting:
            others = [one for one in self.queued if one.waiting and one.project == mine.project]
            before = [one for one in others if one.within_project < mine.within_project]
            active = self.active.get(mine.project)
            if active is not None or before:
                first = active if active is not None else min(before, key=lambda one: one.within_project).id
                return Turn(admitted=False, ahead=len(before) + (active is not None), blocker=first)
        place = [one.id for one in self.line(mine)].index(mine.id)
        ahead = place - most + sum(self.running.values()) + 1
        return Turn(admitted=ahead <= 0, ahead=max(ahead, 0))

    def line(self, mine: Queued | None = None) -> list[Queued]:
        """Return the jobs that could start if there were room, in the order in which they may.

        Each next place goes to the user with the fewest running exports, counting those before it in line; then to the
        one who has waited longest for a place, and to the oldest job. A project has one job in line. A job that has not
        asked lately is not in line, unless it is `mine`.
        """
        first: dict[Project, Queued] = {}
        for one in sorted((one for one in self.queued if one.waiting), key=lambda one: one.within_project):
            if one.project not in self.active:
                first.setdefault(one.project, one)
        able = [one for one in self.queued if one.awake or one is mine]
        candidates = [one for one in able if not one.waiting or first.get(one.project) is one]
        turns: Counter[str] = Counter(self.running)
        ranks = {}
        for one in sorted(candidates, key=lambda one: one.id):
            ranks[one.id] = turns[one.user]
            turns[one.user] += 1
        return sorted(candidates, key=lambda one: (ranks[one.id], self.last.get(one.user, _NEVER), one.id))


class Queue:
    """Admits queued jobs. Every limit `most` is a number of exports at a time; 0: no limit."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def admit(self, job_id: int, most: int) -> Turn:
        """Admit a queued job if its turn has come, and return its turn. Raises JobMissing.

        An admitted job is the active one of its project, and counts as running until it ends. A job that is not queued,
        or was admitted before, keeps its place.
        """
        while True:
            try:
                return self._admit(job_id, most)
            except IntegrityError:
                pass  # another job has just become the active one of its project; the next look sees it

    def turn(self, job_id: int, most: int) -> Turn:
        """Return the turn of a job and change nothing. Raises JobMissing."""
        with self._database.read() as connection:
            job = the_job(connection, job_id)
            return Turn(admitted=True) if _has_place(job) else standing(connection).turn(job.id, most or sys.maxsize)

    def silent(self, seconds: float) -> list[Job]:
        """Return the admitted jobs that have not ended and have not changed for `seconds`, oldest first."""
        job, rows, since = ProjectExportJob, RelationExport, clock(-seconds)
        times = (rows.queued_at, rows.started_at, rows.heartbeat_at, rows.finished_at)
        heard = exists().where(rows.job_id == job.id, or_(*(time > since for time in times)))
        with self._database.read() as connection:
            return jobs_where(
                connection, job.state.in_(PENDING), job.admitted_at.is_not(None), job.updated_at <= since, ~heard
            )

    def _admit(self, job_id: int, most: int) -> Turn:
        with self._database.write() as connection:
            lock(connection)
            job = the_job(connection, job_id)
            if _has_place(job):
                return Turn(admitted=True)
            turn = standing(connection).turn(job.id, most or sys.maxsize)
            asked = update(ProjectExportJob).where(ProjectExportJob.id == job.id, ProjectExportJob.state == QUEUED)
            if turn.admitted:
                announce(connection, "admit", asked.values(waiting=False, admitted_at=clock()))
            else:
                connection.execute(asked.values(updated_at=clock()))
            return turn


def lock(connection: Connection) -> None:
    """Let no other transaction admit a job until this one ends. A transaction of SQLite that writes is alone anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))


def require_room(connection: Connection, most: int) -> None:
    """Raise AwaitsTurn unless a job that does not queue may start at once; the caller holds the lock."""
    now = standing(connection)
    running, line = sum(now.running.values()), len(now.line())
    if most and running + line >= most:
        raise AwaitsTurn(f"{running} of {most} exports are running, and {line} are before this one.", 0)


def standing(connection: Connection) -> Standing:
    """Read what decides about turns."""
    job = ProjectExportJob
    project = (job.source, job.tree, job.project_id)
    unplaced = and_(job.state == QUEUED, job.admitted_at.is_(None))
    awake = (job.updated_at > clock(-AWAKE_SECONDS)).label("awake")
    queued = select(job.id, *project, job.requested_by, job.waiting, job.window_start, awake).where(unplaced)
    active = select(job.id, *project).where(job.state.in_(PENDING), ~job.waiting)
    running = (
        select(job.requested_by, func.count())
        .where(job.state.in_(PENDING), job.admitted_at.is_not(None))
        .group_by(job.requested_by)
    )
    users = select(job.requested_by).where(unplaced)
    last = (
        select(job.requested_by, func.max(job.admitted_at))
        .where(job.requested_by.in_(users), job.admitted_at.is_not(None))
        .group_by(job.requested_by)
    )
    return Standing(
        [
            Queued(id, (source, tree, project_id), user, waiting, window_start, bool(is_awake))
            for id, source, tree, project_id, user, waiting, window_start, is_awake in connection.execute(queued)
        ],
        {(source, tree, project_id): id for id, source, tree, project_id in connection.execute(active)},
        {user: int(count) for user, count in connection.execute(running)},
        {user: time for user, time in connection.execute(last) if time is not None},
    )


def _has_place(job: Job) -> bool:
    return job.state != QUEUED or job.admitted_at is not None
