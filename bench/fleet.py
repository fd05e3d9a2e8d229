"""Export many small projects in one run of export_projects, and report where the time and the CPU seconds go.

python -m bench.fleet [--projects 100] [--scale 1] [--set NAME=VALUE ...] [--state FOLDER]

This starts the environment of `make demo` in a separate folder; a run of one project warms it. Times come from the
ledger, CPU seconds from /proc, per component with its child processes.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from bench.components import Components, Seconds, environment
from dev.stack import Stack
from project_export.ledger import Job, Ledger, make_engine

log = logging.getLogger(__name__)

DAG_ID = "export_projects"
RUN_SECONDS = 3600


@dataclass(frozen=True)
class Measured:
    """One run: wall seconds until it ended, CPU seconds by process, and its jobs."""

    seconds: float
    cpu: Seconds
    jobs: Sequence[Job]


def main() -> None:
    """Run the command line and print the tables as Markdown."""
    parser = argparse.ArgumentParser(prog="python -m bench.fleet", description=__doc__)
    parser.add_argument("--projects", type=int, default=100)
    parser.add_argument("--scale", type=float, default=1, help="scale of the sample's projects")
    arguments, stack = environment(parser, "fleet")
    with stack.locked():
        try:
            stack.start()
            stack.make_sample(arguments.scale, arguments.projects)
            export(stack, 1)
            measured = export(stack, arguments.projects)
        finally:
            stack.stop()
    print(table(measured))


def export(stack: Stack, projects: int) -> Measured:
    """Export the first projects of the sample in one run. Raises RuntimeError if it fails, RestError if it lasts."""
    components, rest = Components(stack), stack.airflow.rest()
    queries = Ledger(make_engine(stack.ledger_uri)).queries
    before, start = components.cpu(), time.monotonic()
    run_id = rest.trigger(DAG_ID, {"projects": [str(number) for number in range(1, projects + 1)], "again": "all"})
    state = rest.wait_for_run(DAG_ID, run_id, RUN_SECONDS)
    measured = Measured(time.monotonic() - start, components.since(before), ())
    if state != "success":
        raise RuntimeError(f"The run {run_id} is {state}: {rest.task_errors(DAG_ID, run_id)}")
    jobs = [one.job for one in queries.jobs(limit=projects)]
    log.info("%d project(s) in %.0f s", projects, measured.seconds)
    return Measured(measured.seconds, measured.cpu, jobs)


def table(run: Measured) -> str:
    """Return the totals, the seconds of a project by stage (median, minimum, maximum), and CPU seconds by process."""
    jobs = [job for job in run.jobs if job.started_at and job.finished_at]
    many, records = len(jobs), sum(job.records or 0 for job in jobs)
    cpu = sum(run.cpu.values())
    lines = [
        f"{many} projects with {records:,} records in {run.seconds:.0f} s, {cpu:.0f} CPU seconds: "
        f"{run.seconds / many:.2f} s and {cpu / many:.2f} CPU seconds for each.",
        "",
        "| stage of a project | seconds, median (min to max) |",
        "| --- | ---: |",
    ]
    stages = {
        "in the queue, until admitted": [_between(job.created_at, job.admitted_at) for job in jobs],
        "from then until planned": [_between(job.admitted_at or job.created_at, job.started_at) for job in jobs],
        "from then until published": [_between(job.started_at, job.finished_at) for job in jobs],
    }
    lines += [f"| {name} | {_spread(values)} |" for name, values in stages.items()]
    lines += ["", "| process | CPU seconds | of all |", "| --- | ---: | ---: |"]
    lines += [f"| {name} | {value:.1f} | {value / cpu:.0%} |" for name, value in run.cpu.items()]
    return "\n".join(lines)


def _between(start: datetime | None, end: datetime | None) -> float:
    return (end - start).total_seconds() if start and end else 0.0


def _spread(values: Sequence[float]) -> str:
    return f"{median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


if __name__ == "__main__":
    main()
