"""A small project through a warm Airflow: from the trigger to the published archive, and where each second goes.

python -m bench.warm [--runs 5] [--scale 10] [--set NAME=VALUE ...] [--state FOLDER]

The environment of `make demo` is started in a folder of its own, one run warms it, the others are measured. Times come
from Airflow's task instances and from the ledger, CPU seconds from /proc: of each component with all that it starts.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from bench.data import STATE
from dev.airflow import COMPONENTS
from dev.stack import DAG_ID, Stack
from project_export.ledger import Ledger, make_engine

log = logging.getLogger(__name__)

CREATE, EXPORT, WAIT, MERGE = (
    "create_relation_exports",
    "export_relation",
    "wait_relation_exports",
    "merge_relation_exports",
)
RUN_SECONDS = 120
IDLE_SECONDS = 20
POLL_SECONDS = 0.05

Seconds = dict[str, float]


@dataclass(frozen=True)
class Measured:
    """One run: wall seconds by stage, CPU seconds by process, and what was exported."""

    stages: Seconds
    cpu: Seconds
    what: str


def main() -> None:
    """Do what the command line says and print a table in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m bench.warm", description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--scale", type=float, default=10, help="of the sample; 10: 1,000 records")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="another setting of Airflow")
    parser.add_argument("--state", type=Path, default=STATE / "warm")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    settings = dict(pair.split("=", 1) for pair in arguments.set)
    stack = Stack(arguments.state, log.info, {"PROJECT_EXPORT_PRELOAD": "1", **settings})
    with stack.locked():
        try:
            stack.start()
            stack.make_sample(arguments.scale)
            warm = Warm(stack)
            warm.run()
            idle = warm.idle()
            runs = [warm.run() for _ in range(arguments.runs)]
        finally:
            stack.stop()
    print(table(runs, idle))


class Warm:
    """A running environment, and what is measured in it."""

    def __init__(self, stack: Stack) -> None:
        self._rest = stack.airflow.rest()
        self._ledger = Ledger(make_engine(stack.postgres.uri("ledger")))
        self._postmaster = int((stack.postgres.cluster / "postmaster.pid").read_text().splitlines()[0])

    def idle(self) -> Seconds:
        """Return the CPU seconds of each component in a second in which nothing is exported."""
        before = self._cpu()
        time.sleep(IDLE_SECONDS)
        return {name: value / IDLE_SECONDS for name, value in _since(before, self._cpu()).items()}

    def run(self) -> Measured:
        """Export project 1 and return what it cost. Raises RuntimeError when it does not end well."""
        before = self._cpu()
        triggered = datetime.now(timezone.utc)
        run_id = self._rest.trigger(DAG_ID, {"project_id": 1})
        answered = datetime.now(timezone.utc)
        job = None
        while (job is None or job.state not in ("finished", "failed")) and _seconds(triggered) < RUN_SECONDS:
            time.sleep(POLL_SECONDS)
            job = self._ledger.queries.job_of_run(f"{DAG_ID}/{run_id}")
        cpu = _since(before, self._cpu())
        if job is None or job.state != "finished" or job.finished_at is None:
            raise RuntimeError(
                f"The run {run_id} has not published its archive: {self._rest.task_states(DAG_ID, run_id)}"
            )
        self._rest.wait_for_run(DAG_ID, run_id, RUN_SECONDS)  # the task behind the merge would disturb the next run
        rows = self._ledger.queries.rows(job.id)
        tasks = self._tasks(run_id)
        create, wait, merge = tasks[CREATE][0], tasks[WAIT][0], tasks[MERGE][0]
        marks = {
            "the API takes the trigger": answered,
            "the scheduler starts the first task": create["start"],
            "create: until the job is written": job.created_at,
            "create: its end": create["end"],
            "Airflow starts the first unit": min(task["start"] for task in tasks[EXPORT]),
            "units: until the first relation is claimed": min(row.started_at for row in rows if row.started_at),
            "units: relations": max(row.finished_at for row in rows if row.finished_at),
            "units: their end": max(task["end"] for task in tasks[EXPORT]),
            "the waiter: its end": max(wait["end"], max(task["end"] for task in tasks[EXPORT])),
            "Airflow starts the merge": merge["start"],
            "merge: until the archive is published": job.finished_at,
        }
        stages, at = {}, triggered
        for name, end in marks.items():
            stages[name] = (end - at).total_seconds()
            at = end
        stages["all"] = (job.finished_at - triggered).total_seconds()
        relations = len({row.relation for row in rows})
        return Measured(stages, cpu, f"{job.records:,} records, {relations} relations, {len(tasks[EXPORT])} unit(s)")

    def _tasks(self, run_id: str) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        found: dict[str, list[Mapping[str, Any]]] = {}
        answer = self._rest.call("GET", f"/dags/{DAG_ID}/dagRuns/{run_id}/taskInstances?limit=100")
        for task in answer["task_instances"]:
            if task["start_date"] and task["end_date"]:
                times = {"start": _instant(task["start_date"]), "end": _instant(task["end_date"])}
                found.setdefault(task["task_id"], []).append(times)
        return found

    def _cpu(self) -> Seconds:
        """Return the CPU seconds so far: of the children of this process by component, tasks apart; of PostgreSQL."""
        found = dict.fromkeys((*COMPONENTS, "tasks", "PostgreSQL"), 0.0)
        for child in psutil.Process().children():
            # The API server names itself anew, by `api_server`.
            called = " ".join(child.cmdline()).replace("_", "-")
            name = next((one for one in COMPONENTS if one in called), None)
            if name is not None:
                tree = _tree(child)
                own = sum(child.cpu_times()[:2]) if name == "scheduler" else tree
                found[name] += own
                found["tasks"] += tree - own
        found["PostgreSQL"] = _tree(psutil.Process(self._postmaster))
        return found


def table(runs: Sequence[Measured], idle: Seconds) -> str:
    """Return two tables, the median of the runs, least and most: wall seconds by stage, CPU seconds by process.

    idle: CPU seconds that each process takes in a second in which nothing is exported.
    """
    lines = [f"{runs[-1].what}; {len(runs)} runs. Seconds, median (least to most).", ""]
    lines += ["| stage | wall |", "| --- | ---: |"]
    lines += [f"| {name} | {_spread([run.stages[name] for run in runs])} |" for name in runs[0].stages]
    lines += ["", "| process | CPU | of that idle |", "| --- | ---: | ---: |"]
    wall = median(run.stages["all"] for run in runs)
    for name in runs[0].cpu:
        lines.append(f"| {name} | {_spread([run.cpu[name] for run in runs])} | {max(idle[name], 0) * wall:.2f} |")
    lines.append(f"| all | {_spread([sum(run.cpu.values()) for run in runs])} | {sum(idle.values()) * wall:.2f} |")
    return "\n".join(lines)


def _spread(values: Sequence[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def _tree(process: psutil.Process) -> float:
    """CPU seconds of a process, of all that it has started and lives, and of all that these have waited for."""
    total = 0.0
    for one in (process, *process.children(recursive=True)):
        try:
            total += sum(one.cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue  # its parent has its times
    return total


def _since(before: Seconds, after: Seconds) -> Seconds:
    return {name: after[name] - before[name] for name in after}


def _seconds(since: datetime) -> float:
    return (datetime.now(timezone.utc) - since).total_seconds()


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))  # Python 3.10 does not know the Z


if __name__ == "__main__":
    main()
