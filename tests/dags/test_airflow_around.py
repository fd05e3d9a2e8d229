"""What stands around an export in a real Airflow: poolers before both databases, and a DAG that an archive starts."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from psycopg.conninfo import conninfo_to_dict

from dev.postgres import Server
from tests.bouncer import bouncing
from tests.dags.stage import Stage
from tests.receiver import receiving
from tests.runs import assert_same

pytestmark = pytest.mark.slow

CONSUMER = """\
from airflow.sdk import DAG, AllowedKeyMapper, Asset, PartitionedAssetTimetable, task

{schedule}
with DAG("after_project", schedule=schedule, is_paused_upon_creation=False):
    @task
    def look(triggering_asset_events=None):
        return [event.extra["uri"] for events in triggering_asset_events.values() for event in events]

    look()
"""


@pytest.fixture(scope="module")
def around(repo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """An Airflow on a server of its own, with the docs' schedule for the archives of project 2."""
    folder = tmp_path_factory.mktemp("around")
    shutil.copytree(repo / "dags", folder / "dags")
    (schedule,) = re.findall(r"```python\n(schedule = .*?)```", (repo / "docs/operate.md").read_text(), re.DOTALL)
    (folder / "dags" / "after_project.py").write_text(CONSUMER.format(schedule=schedule.replace("/42", "/2")))
    server = Server(folder / "server", durable=False)
    server.start()
    with ExitStack() as stack:
        stack.callback(server.stop)
        poolers = []

        def through(uri: str) -> str:
            dsn = stack.enter_context(bouncing(uri, folder / f"pooler{len(poolers)}"))
            poolers.append(dsn)
            parts = urlsplit(uri)
            login = parts.netloc.rpartition("@")[0]
            return urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{conninfo_to_dict(dsn)['port']}"))

        stage = Stage(folder, server, stack.enter_context(receiving()), through=through, dags=folder / "dags")
        stack.callback(stage.stop)
        stage.start()
        stage.airflow.wait_for_dag("after_project")
        yield stage


def test_an_export_is_the_same_with_poolers_before_source_and_ledger(around: Stage) -> None:
    run = around.trigger(project_id=1)
    assert run.ended() == "success", run.log("merge_relation_exports")
    assert run.job().snapshot_generation == 1
    assert_same(run.archive(), around.source)


def test_an_archive_of_one_project_starts_the_dag_that_is_scheduled_on_it_and_of_another_does_not(
    around: Stage,
) -> None:
    other = around.trigger(project_id=3, relations=["labels"])
    assert other.ended() == "success"
    mine = around.trigger(project_id=2, relations=["labels"])
    assert mine.ended() == "success"
    deadline = time.monotonic() + 120
    while not (runs := around.rest.call("GET", "/dags/after_project/dagRuns")["dag_runs"]):
        assert time.monotonic() < deadline, "no run was started"
        time.sleep(1)
    (started,) = runs
    assert around.rest.wait_for_run("after_project", started["dag_run_id"], 120) == "success"
    path = f"/dags/after_project/dagRuns/{started['dag_run_id']}/taskInstances/look/xcomEntries/return_value"
    assert mine.job().archive_uri in str(around.rest.call("GET", path)["value"])
    assert str(other.job().archive_uri) not in str(around.rest.call("GET", path)["value"])
