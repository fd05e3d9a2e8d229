"""Many runs in a row through a real Airflow: none may fail, whatever Airflow does to its sensors. `make soak`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from dev.postgres import Server
from tests.dags.stage import WAIT, Stage
from tests.receiver import receiving

RUNS = 20
RELATIONS = 30
PROJECT = 1


@pytest.fixture
def stage(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """An Airflow that runs four tasks at a time, and exports by a tree of 30 relations."""
    folder = tmp_path_factory.mktemp("stage")
    tree = tmp_path_factory.mktemp("tree") / "tree.yaml"
    tree.write_text(thirty())
    more = {
        "AIRFLOW__CORE__PARALLELISM": "4",
        "PROJECT_EXPORT_TREE": str(tree),
        "PROJECT_EXPORT_UNITS": "4",
    }
    with receiving() as receiver:
        stage = Stage(folder, server, receiver, more=more)
        try:
            stage.start()
            yield stage
        finally:
            stage.stop()


def thirty() -> str:
    """Return GitLab's tree with as many relations a second time, by other names, as make 30 with the root."""
    shipped = Path(str(files("project_export"))) / "trees"
    tree = yaml.safe_load((shipped / "gitlab.yaml").read_text())
    tree["schema"] = [str((shipped / name).resolve()) for name in tree["schema"]]
    again = tree["relations"][: RELATIONS - 1 - len(tree["relations"])]
    tree["relations"] += [{**relation, "relation": f"{relation['relation']}_again"} for relation in again]
    return str(yaml.safe_dump(tree, sort_keys=False))


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
        relations = {row.relation for row in stage.ledger.queries.rows(job.id)}
        assert len(relations) == RELATIONS
        records.add(job.records)
        print(
            f"run {number:>2}: {ends[-1]}, {seconds:.1f} s, {len(relations)} relations, {job.records} records,"
            f" waiter's try {tries}"
        )
    print(f"{ends.count('success')} of {RUNS} runs are green; the waiter was retried in {retried}")
    assert ends == ["success"] * RUNS
    assert len(records) == 1
