"""Export a small project through a warm Airflow, and report where each second goes until the archive is published.

python -m bench.warm [--runs 5] [--scale 10] [--set NAME=VALUE ...] [--state FOLDER]

This starts the environment of `make demo` in a separate folder; one run warms it, the others are measured. Times come
from Airflow's task instances and from the ledger. CPU seconds come from /proc, per component with its child processes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from statistics import median
from typing import Any

from bench.components import Components, Seconds, environment
from dev.stack import DAG_ID, Stack
from project_export.ledger import Ledger, make_engine

CREATE, EXPORT, WAIT, MERGE = (
    "create_relation_exports",
    "export_relation",
    "wait_relation_exports",
    "merge_relation_exports",
)
RUN_SECONDS = 120
IDLE_SECONDS = 20
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Measured:
    """One run: wall seconds by stage, CPU seconds by process, and a description of the export."""

    stages: Seconds
    cpu: Seconds
    title: str


def main() -> None:
    """Run the command line and print the tables as Markdown."""
    parser = argparse.ArgumentParser(prog="python -m bench.warm", description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--scale", type=float, default=10, help="scale of the sample; 10 is about 1,000 records")
    arguments, stack = environment(parser, "warm")
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
    """A running environment and its measurements."""

    def __init__(self, stack: Stack) -> None:
        self._rest = stack.airflow.rest()
        self._queries = Ledger(make_engine(stack.postgres.uri("ledger"))).queries
        self._components = Components(stack)

    def idle(self) -> Seconds:
        """Return the CPU seconds that each component uses per second while nothing is exported."""
        before = self._components.cpu()
        time.sleep(IDLE_SECONDS)
        return {name: value / IDLE_SECONDS for name, value in self._components.since(before).items()}

    def run(self) -> Measured:
        """Export project 1 and return the cost. Raises RuntimeError if the export fails."""
        before = self._components.cpu()
        triggered = datetime.now(timezone.utc)
        run_id = self._rest.trigger(DAG_ID, {"project_id": 1})
        answered = datetime.now(timezone.utc)
        job = None
        while (job is None or job.state not in ("finished", "failed")) and _seconds(triggered) < RUN_SECONDS:
            time.sleep(POLL_SECONDS)
            job = self._queries.job_of_run(f"{DAG_ID}/{run_id}")
        cpu = self._components.since(before)
        if job is None or job.state != "finished" or job.finished_at is None:
            raise RuntimeError(
                f"The run {run_id} has not published its archive: {self._rest.task_states(DAG_ID, run_id)}"
            )
        self._rest.wait_for_run(DAG_ID, run_id, RUN_SECONDS)  # the tasks after the merge would disturb the next run
        rows = self._queries.rows(job.id)
        tasks = self._tasks(run_id)
        create, wait, merge = tasks[CREATE][0], tasks[WAIT][0], tasks[MERGE][0]
        marks = {
            "the API accepts the trigger": answered,
            "the scheduler starts the first task": create["start"],
            "create: until the job is written": job.created_at,
            "create: until it ends": create["end"],
            "Airflow starts the first worker": min(task["start"] for task in tasks[EXPORT]),
            "workers: until the first relation is claimed": min(row.started_at for row in rows if row.started_at),
            "workers: relations": max(row.finished_at for row in rows if row.finished_at),
            "workers: until they end": max(task["end"] for task in tasks[EXPORT]),
            "waiter: until it ends": max(wait["end"], max(task["end"] for task in tasks[EXPORT])),
            "Airflow starts the merge": merge["start"],
            "merge: until the archive is published": job.finished_at,
        }
        stages, at = {}, triggered
        for name, end in marks.items():
            stages[name] = (end - at).total_seconds()
            at = end
        stages["all"] = (job.finished_at - triggered).total_seconds()
        relations = len({row.relation for row in rows})
        return Measured(stages, cpu, f"{job.records:,} records, {relations} relations, {len(tasks[EXPORT])} worker(s)")

    def _tasks(self, run_id: str) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        found: dict[str, list[Mapping[str, Any]]] = {}
        answer = self._rest.call("GET", f"/dags/{DAG_ID}/dagRuns/{run_id}/taskInstances?limit=100")
        for task in answer["task_instances"]:
            if task["start_date"] and task["end_date"]:
                times = {"start": _instant(task["start_date"]), "end": _instant(task["end_date"])}
                found.setdefault(task["task_id"], []).append(times)
        return found


def table(runs: Sequence[Measured], idle: Seconds) -> str:
    """Return two tables with median, minimum and maximum of the runs: wall seconds by stage, CPU seconds by process.

    idle: CPU seconds that each process uses per second while nothing is exported.
    """
    lines = [f"{runs[-1].title}; {len(runs)} runs. Seconds, median (min to max).", ""]
    lines += ["| stage | wall |", "| --- | ---: |"]
    lines += [f"| {name} | {_spread([run.stages[name] for run in runs])} |" for name in runs[0].stages]
    lines += ["", "| process | CPU | idle CPU |", "| --- | ---: | ---: |"]
    wall = median(run.stages["all"] for run in runs)
    for name in runs[0].cpu:
        lines.append(f"| {name} | {_spread([run.cpu[name] for run in runs])} | {max(idle[name], 0) * wall:.2f} |")
    lines.append(f"| all | {_spread([sum(run.cpu.values()) for run in runs])} | {sum(idle.values()) * wall:.2f} |")
    return "\n".join(lines)


def _spread(values: Sequence[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def _seconds(since: datetime) -> float:
    return (datetime.now(timezone.utc) - since).total_seconds()


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))  # Python 3.10 cannot parse the Z


if __name__ == "__main__":
    main()
