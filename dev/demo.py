"""`make demo`, `make up`, `make down`: export a project of the sample source through a real Airflow.

Exit codes: 0 success, 1 failure (with a message), 130 interrupted.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from rich.console import Console

from dev.airflow import REPO, USERS, AirflowError
from dev.postgres import PostgresError
from dev.progress import growing, progress_view
from dev.rest import Rest, RestError
from dev.stack import DAG_ID, Stack, StackError
from project_export.archive.manifest import Manifest
from project_export.archive.verify import Report, verify
from project_export.errors import ProjectExportError
from project_export.ledger import Job, Ledger, make_engine
from project_export.store.uris import shown

STATE = REPO / ".state"
SCALE = 25.0
POLL_SECONDS = 0.5
FAILED, INTERRUPTED = 1, 130
EXPECTED = (StackError, AirflowError, PostgresError, RestError, ProjectExportError)


class DemoFailed(RuntimeError):
    """The run failed, or its archive is invalid."""


def main() -> int:
    """Run the command line and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m dev.demo", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("demo").add_argument("--project-id", type=int, default=1)
    commands.add_parser("up")
    commands.add_parser("down")
    for name in ("demo", "up"):
        commands.choices[name].add_argument("--scale", type=float, help=f"scale of a new sample; default {SCALE:g}")
    arguments = parser.parse_args()

    # All three raise KeyboardInterrupt wherever the program is; whatever was started is stopped on the way out.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    console = Console(highlight=False, soft_wrap=True)
    # The sample's projects are small; this splits them over several workers anyway.
    settings = {"PROJECT_EXPORT_UNIT_COST": "2000"}
    if arguments.command == "demo":  # not for `make up`, which people use while they edit the code
        settings["PROJECT_EXPORT_PRELOAD"] = "1"
    stack = Stack(STATE, _steps(console), settings, partial(growing, console))
    try:
        with stack.locked():
            if arguments.command == "demo":
                archive = _demo(stack, arguments.project_id, arguments.scale, console)
                console.print(f"archive: {archive}", markup=False)
            elif arguments.command == "up":
                _up(stack, arguments.scale, console)
            else:
                stack.stop()
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED
    except (*EXPECTED, DemoFailed) as error:
        print(error, file=sys.stderr)
        return FAILED
    return 0


def _demo(stack: Stack, project_id: int, scale: float | None, console: Console) -> Path:
    """Export one project, verify the archive and return its path; stop whatever was started for it."""
    with _running(stack, keep=False) as started:
        _sample(stack, scale, started)
        console.print(f"Airflow: {stack.airflow.url}", markup=False)
        rest = stack.airflow.rest()
        run_id = rest.trigger(DAG_ID, {"project_id": project_id})
        console.print(f"Run {run_id} of {DAG_ID}, project {project_id}")
        job = _follow(stack, rest, run_id, console)
        archive = Path(shown(str(job.archive_uri)))
        _print_report(archive, _verified(archive), console)
    return archive


def _up(stack: Stack, scale: float | None, console: Console) -> None:
    """Start everything, unless it runs already, and leave it running."""
    with _running(stack, keep=True) as started:
        _sample(stack, scale, started)
        stack.keep_up()
    airflow = stack.airflow
    console.print(f"Airflow:  {airflow.url}", markup=False)
    for user, may in USERS.items():
        console.print(f"  login:  {user:<6}  password: {airflow.password(user)}  ({may})", markup=False)
    console.print(f"source:   {stack.source_uri}", markup=False)
    console.print(f"ledger:   {stack.ledger_uri}", markup=False)
    console.print(f"archives: {stack.exports}", markup=False)
    console.print("Export a project:  make demo\nStop everything:   make down")


def _sample(stack: Stack, scale: float | None, started: bool) -> None:
    """Make the sample source. If the stack was already running, keep its sample, since somebody is using it.

    started: whether this command started the stack. Raises DemoFailed if a kept sample has another scale.
    """
    there = stack.sample_scale()
    if started or there is None:
        stack.make_sample(SCALE if scale is None else scale)
    elif scale not in (None, there):
        raise DemoFailed(
            f"`make up` is running with a sample of scale {there:g}, which a new one of scale {scale:g} would replace. "
            "Omit SCALE to use it, or run `make down` first."
        )


@contextmanager
def _running(stack: Stack, *, keep: bool) -> Iterator[bool]:
    """Keep everything running inside the block; yield whether it was started here.

    Stops what was started here, except after a success with `keep`.
    """
    if stack.kept_up():
        yield False
        return
    done = False
    try:
        stack.start()
        yield True
        done = True
    finally:
        if not (keep and done):
            # An interruption would leave processes behind, so ignore signals; this takes seconds.
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            stack.stop()


def _follow(stack: Stack, rest: Rest, run_id: str, console: Console) -> Job:
    """Show the progress until the run has ended, and return its finished job; raise DemoFailed if it failed."""
    queries = Ledger(make_engine(stack.ledger_uri)).queries
    with progress_view(console) as show:
        while True:
            # Read the run's state first, so that the last read of the ledger is complete.
            state = rest.run_state(DAG_ID, run_id)
            job = queries.job_of_run(f"{DAG_ID}/{run_id}")
            show(queries.relations(job.id) if job else [])
            if state in ("success", "failed"):
                break
            time.sleep(POLL_SECONDS)
    if state == "success" and job and job.state == "finished":
        return job
    errors = [str(failure) for failure in job.errors] if job else []
    errors = errors or [f"{task}: {error}" for task, error in rest.task_errors(DAG_ID, run_id).items()]
    tasks = ", ".join(f"{task} {end}" for task, end in rest.task_states(DAG_ID, run_id).items())
    logs = stack.airflow.logs / f"dag_id={DAG_ID}" / f"run_id={run_id}"
    lines = [f"The run {run_id} ended as {state}.", *errors, f"Tasks: {tasks}", f"Logs: {logs}"]
    raise DemoFailed("\n".join(lines))


def _verified(archive: Path) -> Report:
    manifest = archive.with_name("project.manifest.json")
    report = verify(archive, Manifest.from_json(manifest.read_text()))
    if not report.ok:
        problems = "\n".join(f"  {problem}" for problem in report.problems)
        raise DemoFailed(f"The archive {archive} is invalid:\n{problems}")
    return report


def _print_report(archive: Path, report: Report, console: Console) -> None:
    for relation, records in report.records.items():
        console.print(f"{records:>9,}  {relation}", markup=False)
    total = sum(report.records.values())
    console.print(f"{total:>9,}  records, not counting nested ones")
    for name, files in report.files.items():
        console.print(f"{files.number:>9,}  {name} ({files.bytes:,} bytes)", markup=False)
    console.print(f"The archive is valid; it has {archive.stat().st_size:,} bytes.")


def _steps(console: Console) -> Callable[[str], None]:
    start = time.monotonic()
    return lambda step: console.print(f"{time.monotonic() - start:4.0f} s  {step}", markup=False)


if __name__ == "__main__":
    sys.exit(main())
