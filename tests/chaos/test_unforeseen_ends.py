"""What nobody foresaw, in tasks of a real Airflow; and what a run that was cleared does with its snapshot."""

from __future__ import annotations

import pytest

from tests.chaos.conftest import Happened
from tests.chaos.faulty_airflow import RELATION, FaultyAirflow
from tests.dags.stage import AFTER, END, EXPORT, HOLD, MERGE, Run, until

RUN_SECONDS = 300


@pytest.mark.fault("F36", "an exception that nobody foresaw in the last try")
@pytest.mark.parametrize(("place", "task"), [("unit", MERGE), ("merge", MERGE), ("after", AFTER)])
def test_what_nobody_foresaw_ends_the_job_and_is_told_once(
    faulty_airflow: FaultyAirflow, happened: Happened, place: str, task: str
) -> None:
    upload = (
        {"after_export": "upload", "upload_url": f"{faulty_airflow.receiver.url}/upload"} if place == "after" else {}
    )
    with faulty_airflow.surviving(2, replaced=True):
        with faulty_airflow.raising(place):
            run = faulty_airflow.trigger(project_id=2, consistency="relation", **upload)
            assert run.ended(RUN_SECONDS) == "failed"
        job = run.job()
        assert (job.state, "RuntimeError: nobody foresaw this" in str(job.errors[0])) == ("failed", True)
        assert "RuntimeError: nobody foresaw this" in run.log(task)
        assert "RuntimeError: nobody foresaw this" in run.log(END)
        assert [notice["outcome"] for notice in run.notices()] == ["failed"]
        again = faulty_airflow.attempts(run)
        assert again == ({RELATION: 3} if place == "unit" else {})
        run.clear(only_failed=True)
        faulty_airflow.assert_whole(run)
    happened(f"in the {place}: failed by name, one notice; cleared: SAME")


def failed(faulty_airflow: FaultyAirflow) -> Run:
    """Return a run that has failed by a right that is there again."""
    faulty_airflow.sql("REVOKE SELECT ON lists FROM stage_reader")
    try:
        run = faulty_airflow.trigger(project_id=3)
        # What Airflow is about to say of the last tasks comes after the merge, and would come after a clear, too.
        until(lambda: run.states().get(AFTER) == "upstream_failed", RUN_SECONDS)
    finally:
        faulty_airflow.sql("GRANT SELECT ON lists TO stage_reader")
    assert len(run.notices()) == 1
    return run


@pytest.mark.fault("F38", "failed tasks cleared within the grace, one snapshot for all")
def test_what_is_cleared_within_the_grace_reads_only_what_is_missing(
    faulty_airflow: FaultyAirflow, happened: Happened
) -> None:
    with faulty_airflow.surviving(3):
        run = failed(faulty_airflow)
        assert run.states()[HOLD] == "deferred"
        run.clear(only_failed=True)
        manifest = faulty_airflow.assert_whole(run)
        assert (faulty_airflow.attempts(run), manifest.snapshot.generation) == ({RELATION: 2}, 1)
    happened(f"the same snapshot, only {RELATION} read again, SAME")


@pytest.mark.fault("F38", "units cleared together after the grace, one snapshot for all")
def test_what_is_cleared_after_the_grace_reads_all_from_one_new_snapshot_in_parallel(
    faulty_airflow: FaultyAirflow, happened: Happened
) -> None:
    with faulty_airflow.surviving(3):
        run = failed(faulty_airflow)
        assert run.ended(RUN_SECONDS) == "failed"
        assert not faulty_airflow.sessions()
        units = [name for name in run.states() if name.startswith(f"{EXPORT}[")]
        with faulty_airflow.locked("release_links"):
            run.clear(task_ids=[[EXPORT, unit] for unit in range(len(units))], include_downstream=True)
            until(lambda: faulty_airflow.sessions(waiting=True))
            until(lambda: faulty_airflow.ledger.queries.progress(run.job().id).pending == 1)
        manifest = faulty_airflow.assert_whole(run)
        assert manifest.snapshot.generation == 2
        assert set(faulty_airflow.attempts(run).values()) == {2}
    happened("one of them held a new snapshot, all relations read again while one waited, SAME")


@pytest.mark.fault("F39", "all tasks in one pool of one slot, deferred ones counted")
def test_the_holder_of_the_snapshot_gives_way_to_units_that_get_no_slot(
    faulty_airflow: FaultyAirflow, happened: Happened
) -> None:
    with faulty_airflow.surviving(2), faulty_airflow.one_slot():
        run = faulty_airflow.trigger(project_id=2)
        assert run.ended(2 * RUN_SECONDS) == "success"
        faulty_airflow.assert_whole(run)
        assert run.states()[HOLD] == "success"
        assert "nobody has worked on it for 60 s" in run.log(HOLD)
    happened("the holder gave way after a minute, a unit held the snapshot, SAME")
