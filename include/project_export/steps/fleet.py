"""Many projects: which ones a run exports, and how all of them ended."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from textwrap import shorten
from typing import Any

from project_export.errors import BadRequest, ProjectNotFound, listed
from project_export.ledger import Job
from project_export.ledger.scrub import scrub
from project_export.source.projects import active, below, titles
from project_export.source.title import find
from project_export.steps.context import Context
from project_export.steps.notice import Notice
from project_export.steps.notify import announce
from project_export.steps.projects import FoundProject

log = logging.getLogger(__name__)

ACTIVE = "active"
"""The word for all projects with activity in an interval."""

_BELOW = "/*"
_MOST_CHARACTERS = 500
_SUBJECTS = {"finished": "Projects were exported", "failed": "Projects export error"}


@dataclass(frozen=True)
class Interval:
    """When activity counts. before: None: also what happened after the interval for which a run exports."""

    since: datetime
    before: datetime | None = None


@dataclass(frozen=True)
class Ended:
    """How the export of one project ended. run_id: as the ledger knows it. fault: what is wrong, None if it succeeded.

    refused: why the run has not got as far as its job, None if it has. Without that, the job's errors are more exact
    than the fault.
    """

    project: FoundProject
    run_id: str
    fault: str | None = None
    refused: str | None = None


@dataclass(frozen=True)
class Failed:
    """A project that was not exported, and why."""

    project_id: int
    title: str
    run_id: str
    error: str


@dataclass(frozen=True)
class Summary:
    """How the exports of several projects ended.

    exported: the number of projects whose export succeeded. records, bytes: the sums over their archives, those of jobs
    that are pruned already not included. omissions: how many each archive has, by project id, if it has any.
    """

    projects: int
    exported: int
    records: int
    bytes: int
    failures: tuple[Failed, ...]
    omissions: Mapping[int, int]

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        lacking = {str(number): lacks for number, lacks in self.omissions.items()}
        return {**asdict(self), "failures": [asdict(one) for one in self.failures], "omissions": lacking}

    @property
    def faults(self) -> list[str]:
        """Each project that was not exported, with its error."""
        return [f"project {_called(one.project_id, one.title)}: {one.error}" for one in self.failures]


def choose_projects(
    ctx: Context, words: Sequence[str | int], interval: Interval | None, *, most: int, only_active: bool = False
) -> list[FoundProject]:
    """Return the projects that words name, each once, in ascending order of their ids.

    words: ids, paths, `GROUP/*` (all projects in a group and its subgroups) and `active`; those of the setting
    `projects` if there are none. interval: for `active`. only_active: take nothing but what `active` stands for.
    most: how many a run can export; more are refused.
    An id is not looked up: its own export reports that it does not exist. Raises BadRequest, ProjectNotFound (which
    lists all paths that nothing has), SourceChanged, SourceRefused, SourceBusy.
    """
    chosen = [str(word).strip() for word in words or ctx.settings.projects.split(",")]
    chosen = [word for word in dict.fromkeys(chosen) if word]
    if not chosen:
        raise BadRequest("no projects are named: give `projects`, or set PROJECT_EXPORT_PROJECTS")
    if ACTIVE in chosen and interval is None:
        raise BadRequest("`active` needs a run with a data interval: trigger it with a logical date, or backfill it")
    found: dict[int, str] = {}
    unknown = []
    with ctx.session("choose projects") as session:
        for word in chosen:
            if word == ACTIVE and interval is not None:
                found |= dict.fromkeys(active(session, ctx.tree, interval.since, interval.before, most + 1), "")
            elif only_active:
                continue
            elif word.isdecimal():
                found[_number(word)] = ""
            elif word.endswith(_BELOW) and (those := below(session, ctx.tree, word.removesuffix(_BELOW), most + 1)):
                found |= those
            elif (one := find(session, ctx.tree, word.strip("/"))) is not None:
                found[one[0]] = one[1]
            else:
                unknown.append(f"{word}: nothing has this path")
        if unknown:
            raise ProjectNotFound(listed(f"the source {ctx.source} does not have all projects", unknown))
        if len(found) > most:
            raise BadRequest(
                f"{', '.join(chosen)} are more than {most} projects, the most that one run can export "
                "([core] max_map_length): name fewer in each run, or raise that limit"
            )
        found |= titles(session, ctx.tree, [number for number, title in found.items() if not title])
    return [FoundProject(number, found[number]) for number in sorted(found)]


def summarise(ctx: Context, ended: Sequence[Ended]) -> Summary:
    """Return how the exports of projects ended. Raises LedgerBusy."""
    jobs = ctx.ledger.queries.jobs_of_runs([one.run_id for one in ended])
    lacks = ctx.ledger.queries.omissions_of([job.id for job in jobs.values()])
    failures = [
        Failed(one.project.id, one.project.title, one.run_id, _error(one, one.fault, jobs.get(one.run_id)))
        for one in ended
        if one.fault is not None
    ]
    good = [jobs[one.run_id] for one in ended if one.fault is None and one.run_id in jobs]
    return Summary(
        projects=len(ended),
        exported=len(ended) - len(failures),
        records=sum(job.records or 0 for job in good),
        bytes=sum(job.archive_bytes or 0 for job in good),
        failures=tuple(failures),
        omissions={job.project_id: len(lacks[job.id]) for job in good if job.id in lacks},
    )


def announce_fleet(ctx: Context, summary: Summary, run_id: str, requested_by: str) -> None:
    """Send one notice of how all projects ended."""
    outcome = "failed" if summary.failures else "finished"
    counted = f"{summary.exported} of {summary.projects} projects were exported"
    lines = [f"{counted}: {summary.records} records, {summary.bytes} bytes."]
    if summary.failures:
        lines.append(listed("These couldn't be exported", summary.faults))
    if summary.omissions:
        lacking = [f"project {number}: {lacks} omission(s)" for number, lacks in summary.omissions.items()]
        lines.append(listed("These archives lack data that the source has, or may have", lacking))
    facts = {**summary.as_json(), "outcome": outcome}
    _announce(ctx, outcome, lines, facts, run_id, requested_by)


def announce_refusal(ctx: Context, reason: str, run_id: str, requested_by: str) -> None:
    """Send one notice that no project was exported, because the run did not get as far as that."""
    lines = [f"No project was exported. {reason}"]
    _announce(ctx, "failed", lines, {"outcome": "failed", "errors": [scrub(reason)]}, run_id, requested_by)


def _announce(
    ctx: Context, outcome: str, lines: list[str], facts: Mapping[str, Any], run_id: str, requested_by: str
) -> None:
    lines.append(f"Run {run_id}, requested by {requested_by}")
    facts = {**facts, "run_id": run_id, "requested_by": requested_by, "source": ctx.source}
    kind: Any = outcome
    announce(ctx, Notice(kind, _SUBJECTS[outcome], scrub("\n".join(lines)), facts))


def _number(word: str) -> int:
    number = int(word)
    if not 0 < number < 1 << 63:
        raise BadRequest(f"a project id must be positive and fit into 64 bits; got {word}")
    return number


def _error(one: Ended, fault: str, job: Job | None) -> str:
    """Return the error of a project, not longer than people read when many have failed."""
    errors = [str(error) for error in job.errors] if job is not None else []
    said = one.refused or "; ".join(dict.fromkeys(errors)) or fault
    return shorten(scrub(said), _MOST_CHARACTERS, placeholder=" ...")


def _called(project_id: int, title: str) -> str:
    return f"{project_id} ({title})" if title not in ("", str(project_id)) else str(project_id)
