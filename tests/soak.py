"""Many runs in a row through a real Airflow: none may fail, whatever Airflow does to its sensors. `make soak`."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from dev.postgres import Server
from tests.dags.stage import WAIT, Stage
from tests.receiver import receiving

RUNS = 20
PARTS = 30
PROJECT = 1


@pytest.fixture
def stage(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """An Airflow that runs four tasks at a time, and splits relations into small parts."""
    more = {"AIRFLOW__CORE__PARALLELISM": "4", "PROJECT_EXPORT_PART_ROWS": "2", "PROJECT_EXPORT_UNITS": "4"}
    with receiving() as receiver:
        stage = Stage(tmp_path_factory.mktemp("stage"), server, receiver, more=more)
        try:
            stage.start()
            yield stage
        finally:
            stage.stop()


@pytest.mark.timeout(3600)
def test_all_of_many_runs_in_a_row_end_green(stage: Stage) -> None:
    ends, records, retried = [], set(), 0
    for number in range(1, RUNS + 1):
        begun = time.monotonic()
        run = stage.trigger(project_id=PROJECT)
        ends.append(run.ended())
        seconds = time.monotonic() - begun
        (tries,) = (task["try_number"] for task in run.tasks() if task["task_id"] == WAIT)
        retried += tries > 1
        job = run.job()
        parts = len(stage.ledger.rows(job.id))
        assert parts >= PARTS
        records.add(job.records)
        print(
            f"run {number:>2}: {ends[-1]}, {seconds:.1f} s, {parts} parts, {job.records} records, waiter's try {tries}"
        )
    print(f"{ends.count('success')} of {RUNS} runs are green; the waiter was retried in {retried}")
    assert ends == ["success"] * RUNS
    assert len(records) == 1
