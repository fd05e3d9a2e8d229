"""Processes are killed: a task's, its supervisor, the scheduler, the source's."""

from __future__ import annotations

import signal

import psycopg
import pytest

from tests.chaos.conftest import Happened
from tests.chaos.faulty_airflow import HUNG_SECONDS, RELATION, TABLE, FaultyAirflow
from tests.dags.stage import EXPORT, WAIT, Run, until

SLOW_SECONDS = HUNG_SECONDS + 12  # the waiter looks every 10 s


def tries(run: Run) -> int:
    """Return the greatest number of tries that a unit has had."""
    return max(task["try_number"] for task in run.tasks() if task["task_id"] == EXPORT)


@pytest.mark.fault("F01", "task killed -9 in mid-relation")
def test_a_killed_task_is_retried_and_only_its_relation_is_read_again(
    faulty_airflow: FaultyAirflow, happened: Happened
) -> None:
    with faulty_airflow.surviving(1):
        with faulty_airflow.blocked(project_id=1) as (run, task):
            task.kill()
            until(lambda: tries(run) == 2)
            names = [path.name for path in (faulty_airflow.folder(run) / "parts").iterdir()]
            assert f"{RELATION}.0.1.deflate" not in names
            assert [name for name in names if name.startswith(f".{RELATION}.0.1.") and name.endswith(".tmp")]
        manifest = faulty_airflow.assert_whole(run)
        assert faulty_airflow.attempts(run) == {RELATION: 2}
        assert manifest.snapshot.generation == 1
    happened("task retried by Airflow, one relation read twice from the same snapshot, the half file removed, SAME")


@pytest.mark.fault("F01", "task and supervisor killed -9 (the machine is gone)")
def test_a_machine_that_is_gone_is_noticed_and_the_run_goes_on(
    faulty_airflow: FaultyAirflow, happened: Happened
) -> None:
    with faulty_airflow.surviving(2):
        with faulty_airflow.blocked(project_id=2) as (run, task):
            task.parent().kill()
            task.kill()
            seconds = until(lambda: tries(run) == 2, seconds=90)
        faulty_airflow.assert_whole(run)
        assert faulty_airflow.attempts(run) == {RELATION: 2}
    happened(f"noticed by the missing heartbeat, retried after {seconds:.0f} s, SAME")


@pytest.mark.fault("F02", "supervisor killed -9, the task lives on as a twin")
def test_a_twin_that_lives_on_changes_nothing(faulty_airflow: FaultyAirflow, happened: Happened) -> None:
    with faulty_airflow.surviving(1):
        with faulty_airflow.blocked(project_id=1, consistency="relation") as (run, twin):
            twin.parent().kill()
            until(lambda: tries(run) == 2, seconds=90)
            lived = twin.is_running()
            until(lambda: faulty_airflow.rows(run)[RELATION].attempt > 1)
        manifest = faulty_airflow.assert_whole(run)
        (boards,) = (relation for relation in manifest.relations if relation.relation == RELATION)
        assert len(boards.parts) == 1
        assert faulty_airflow.attempts(run).keys() == {RELATION}
        until(lambda: not twin.is_running())
    happened(f"twin {'lived' if lived else 'had ended'} while the retry worked; one part counts, SAME")


@pytest.mark.parametrize("locking", [False, True], ids=["at any time", "while it has locked the run"])
@pytest.mark.fault("F03", "scheduler killed -9 and started again")
def test_a_scheduler_that_is_killed_and_started_again_goes_on_with_the_run(
    faulty_airflow: FaultyAirflow, happened: Happened, locking: bool
) -> None:
    with faulty_airflow.surviving(1):
        with faulty_airflow.blocked(project_id=1) as (run, _):
            faulty_airflow.kill_scheduler(locking=locking)
            faulty_airflow.start_scheduler()
        faulty_airflow.assert_whole(run)
        again = faulty_airflow.attempts(run)
    happened(f"the run went on, relations read again: {', '.join(again) or 'none'}, SAME")


@pytest.mark.fault("F04", "source restarted -m immediate during the reading")
def test_after_a_crash_of_the_source_all_is_read_from_one_new_snapshot(
    faulty_airflow: FaultyAirflow, happened: Happened
) -> None:
    with faulty_airflow.surviving(1):
        lock = psycopg.connect(faulty_airflow.source)
        lock.execute(f"LOCK TABLE {TABLE}".encode())
        run = faulty_airflow.trigger(project_id=1)
        faulty_airflow.reader()
        faulty_airflow.source_server.restart("immediate")
        lock.close()
        manifest = faulty_airflow.assert_whole(run)
        assert manifest.snapshot.generation > 1
    happened(f"all relations read again from snapshot {manifest.snapshot.generation}, never mixed, SAME")


@pytest.mark.fault("F05", "holder of the snapshot terminated")
def test_when_the_holder_of_the_snapshot_dies_all_is_read_from_one_new_snapshot(
    faulty_airflow: FaultyAirflow, happened: Happened
) -> None:
    with faulty_airflow.surviving(2):
        with faulty_airflow.blocked(project_id=2) as (run, _):
            ended = faulty_airflow.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s",
                f"project_export job {run.job().id} snapshot",
            )
            assert ended == [(True,)]
            until(lambda: faulty_airflow.ledger.queries.job(run.job().id).snapshot_generation == 2)
        manifest = faulty_airflow.assert_whole(run)
        assert manifest.snapshot.generation == 2
    happened("another snapshot taken, all relations read again from it, SAME")


@pytest.mark.fault("F24", "task frozen for longer than the limit")
def test_a_frozen_task_is_killed_and_its_relation_read_by_its_retry(
    faulty_airflow: FaultyAirflow, happened: Happened
) -> None:
    with faulty_airflow.surviving(1):
        with faulty_airflow.blocked(project_id=1, consistency="relation", relations=[RELATION, "labels"]) as (
            run,
            frozen,
        ):
            frozen.send_signal(signal.SIGSTOP)
            seconds = until(lambda: faulty_airflow.rows(run)[RELATION].deaths == 1, seconds=90)
            assert f"process {frozen.pid} on " in str(faulty_airflow.rows(run)[RELATION].error)
            until(lambda: tries(run) == 2)
        faulty_airflow.assert_whole(run, RELATION, "labels")
        assert faulty_airflow.attempts(run) == {RELATION: 2}
        assert "which was killed" in run.log(WAIT)
    happened(f"killed by the waiter after {seconds:.0f} s, Airflow retried it, one relation read twice, SAME")


@pytest.mark.fault("F24", "task slow for longer than the limit, but alive")
def test_a_slow_task_that_lives_is_left_alone(faulty_airflow: FaultyAirflow, happened: Happened) -> None:
    with faulty_airflow.surviving(3):
        with faulty_airflow.blocked(project_id=3, consistency="relation") as (run, _):
            until(lambda: age(faulty_airflow, run) > SLOW_SECONDS)
        faulty_airflow.assert_whole(run)
        assert faulty_airflow.attempts(run) == {}
    happened(f"left alone for {SLOW_SECONDS} s of waiting, one attempt, SAME")


def age(faulty_airflow: FaultyAirflow, run: Run) -> float:
    """Return for how many seconds the relation has been worked on, by the ledger's clock."""
    with psycopg.connect(faulty_airflow.ledger_uri) as connection:
        query = (
            "SELECT extract(epoch FROM clock_timestamp() - started_at)::float FROM relation_export"
            " WHERE job_id = %s AND relation = %s AND state = 'started'"
        )
        found = connection.execute(query, [run.job().id, RELATION]).fetchone()
    assert found is not None
    return float(found[0])
