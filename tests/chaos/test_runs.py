"""Runs are triggered at once, cleared, cancelled, refused; parts and the store are damaged; all on a real Airflow."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from json import JSONDecodeError
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from dev.rest import RestError
from project_export.repositories.folders import PREFIX
from tests.chaos.attics import gits
from tests.chaos.conftest import Happened
from tests.chaos.faulty_airflow import RELATION, TABLE, UNITS, FaultyAirflow
from tests.chaos.invariants import digest
from tests.dags.stage import AFTER, CREATE, DAG_ID, EXPORT, HOLD, MERGE, RUN_SECONDS, WAIT, until

TRIGGERS = 50
PRUNE = "prune_exports"


@pytest.mark.fault("F08", "store full while a part is written")
def test_a_full_store_fails_the_run_by_name_and_a_clear_reads_only_what_is_missing(
    faulty_airflow: FaultyAirflow, happened: Happened
) -> None:
    if not faulty_airflow.small:
        pytest.skip("a small file system can only be mounted by root, and not in every container")
    with faulty_airflow.surviving(1):
        with ExitStack() as filled:
            with faulty_airflow.blocked(project_id=1, consistency="relation") as (run, _):
                until(
                    lambda: (
                        {name for name, row in faulty_airflow.rows(run).items() if row.state != "finished"}
                        == {RELATION}
                    )
                )
                filled.enter_context(faulty_airflow.full())
            assert run.ended() == "failed"
        (error,) = run.job().errors
        assert (error.relation, "ENOSPC" in error.message) == (RELATION, True)
        assert "ENOSPC" in run.log(MERGE)
        faulty_airflow.assert_nothing_left()
        good = {name: row.sha256 for name, row in faulty_airflow.rows(run).items() if name != RELATION}
        run.clear(only_failed=True)
        faulty_airflow.assert_whole(run)
        assert faulty_airflow.attempts(run).keys() == {RELATION}
        assert {name: row.sha256 for name, row in faulty_airflow.rows(run).items() if name != RELATION} == good
    happened(f"failed with ENOSPC after {error.attempt} attempts; cleared: only {RELATION} read again, SAME")


@pytest.mark.fault("F11", "finished part altered before the merge")
def test_a_part_that_was_altered_is_read_again(faulty_airflow: FaultyAirflow, happened: Happened) -> None:
    with faulty_airflow.surviving(2):
        with faulty_airflow.blocked(project_id=2, consistency="relation") as (run, _):
            until(lambda: faulty_airflow.rows(run)["labels"].state == "finished")
            part = Path(urlsplit(str(faulty_airflow.rows(run)["labels"].uri)).path)
            content = bytearray(part.read_bytes())
            content[len(content) // 2] ^= 1
            part.write_bytes(content)
        faulty_airflow.assert_whole(run)
        assert faulty_airflow.attempts(run) == {"labels": 2}
        assert "Part 0 of labels is not what was written" in run.log(MERGE)
    happened("refused by its checksum and read again by the merge, SAME")


@pytest.mark.fault("F12", "merge of a finished run cleared while the archive is downloaded")
def test_a_merge_that_is_cleared_gives_the_same_archive_and_disturbs_no_download(
    faulty_airflow: FaultyAirflow, happened: Happened
) -> None:
    run = faulty_airflow.trigger(project_id=2)
    faulty_airflow.assert_whole(run)
    archive, before = run.archive(), digest(run.archive())
    with faulty_airflow.surviving(2), archive.open("rb") as download:
        first = download.read(1000)
        run.clear(task_ids=[MERGE], include_downstream=True)
        faulty_airflow.assert_whole(run)
        assert digest(archive) == before
        download.seek(0)
        assert download.read(1000) == first
    happened("the same bytes again; what was open stayed readable")


@pytest.mark.fault("F13", f"{TRIGGERS} triggers of one project at once")
def test_many_triggers_at_once_give_one_export(faulty_airflow: FaultyAirflow, happened: Happened) -> None:
    with faulty_airflow.surviving(2):
        with faulty_airflow.locked(TABLE):
            with ThreadPoolExecutor(TRIGGERS) as pool:
                runs = list(pool.map(lambda _: faulty_airflow.trigger(project_id=2), range(TRIGGERS)))
            faulty_airflow.reader()
            until(
                lambda: sum(faulty_airflow.rest.run_state(DAG_ID, run.id) == "failed" for run in runs) == TRIGGERS - 1,
                300,
            )
        (winner,) = (run for run in runs if faulty_airflow.rest.run_state(DAG_ID, run.id) != "failed")
        faulty_airflow.assert_whole(winner)
        losers = [run for run in runs if run is not winner]
        assert all(f"is being exported by job {winner.job().id}" in run.log(CREATE) for run in losers[:3])
        assert [faulty_airflow.ledger.queries.job_of_run(f"{DAG_ID}/{run.id}") for run in losers] == [None] * (
            TRIGGERS - 1
        )
        assert not any(run.notices() for run in losers)
    happened(f"one exported, {TRIGGERS - 1} refused with its name, without a notice")


@pytest.mark.fault("F14", "one project hangs while others are exported")
def test_a_project_that_hangs_keeps_no_other_waiting(faulty_airflow: FaultyAirflow, happened: Happened) -> None:
    with faulty_airflow.surviving(1):
        with faulty_airflow.blocked(project_id=1) as (hanging, _):
            others = [faulty_airflow.trigger(project_id=project, relations=["labels", "issues"]) for project in (2, 3)]
            for run in others:
                faulty_airflow.assert_whole(run, "labels", "issues")
            assert faulty_airflow.rest.run_state(DAG_ID, hanging.id) == "running"
        faulty_airflow.assert_whole(hanging)
    happened("the others ended meanwhile, each with its own records, SAME")


@pytest.mark.fault("F16", "SELECT revoked on a table")
def test_a_table_without_a_right_fails_the_run_at_once_and_a_clear_mends_it(
    faulty_airflow: FaultyAirflow, happened: Happened
) -> None:
    with faulty_airflow.surviving(3):
        faulty_airflow.sql("REVOKE SELECT ON lists FROM stage_reader")
        try:
            run = faulty_airflow.trigger(project_id=3, consistency="relation")
            assert run.ended() == "failed"
        finally:
            faulty_airflow.sql("GRANT SELECT ON lists TO stage_reader")
        (error,) = run.job().errors
        assert (error.relation, error.sqlstate, error.attempt) == (RELATION, "42501", 1)
        assert not list(faulty_airflow.folder(run).rglob("project.tar.gz*"))
        run.clear(only_failed=True)
        faulty_airflow.assert_whole(run)
        assert faulty_airflow.attempts(run) == {RELATION: 2}
    happened("failed with 42501 after one attempt, no archive; cleared: one relation read, SAME")


@pytest.mark.fault("F22", "more units asked for than Airflow maps a task over")
def test_an_export_has_no_more_units_than_airflow_takes(faulty_airflow: FaultyAirflow, happened: Happened) -> None:
    with faulty_airflow.surviving(1):
        run = faulty_airflow.trigger(project_id=1)
        faulty_airflow.assert_whole(run)
        units = [name for name in run.states() if name.startswith(f"{EXPORT}[")]
        assert len(units) == UNITS
        assert f"PROJECT_EXPORT_UNITS is {4 * UNITS}, but [core] max_map_length is {UNITS}" in run.log(CREATE)
    happened(f"{4 * UNITS} asked for, {UNITS} planned and said so in create's log, SAME")


@pytest.mark.fault("F25", "run marked failed in its middle, then deleted")
def test_a_run_that_is_cancelled_and_deleted_leaves_nothing_and_the_next_one_works(
    faulty_airflow: FaultyAirflow, happened: Happened
) -> None:
    with faulty_airflow.surviving(1):
        with faulty_airflow.blocked(project_id=1) as (run, _):
            job = run.job()
            faulty_airflow.rest.fail_run(DAG_ID, run.id)
            seconds = until(lambda: not faulty_airflow.sessions(), seconds=15)
            with suppress(JSONDecodeError):  # the answer is empty
                faulty_airflow.rest.call("DELETE", f"/dags/{DAG_ID}/dagRuns/{run.id}")
        pruning = faulty_airflow.rest.trigger(PRUNE, {})
        assert faulty_airflow.rest.wait_for_run(PRUNE, pruning, 60) == "success"
        ended = faulty_airflow.ledger.queries.job(job.id)
        assert (ended.state, "was cancelled or is gone" in ended.errors[0].message) == ("failed", True)
        faulty_airflow.assert_whole(faulty_airflow.trigger(project_id=1))
    happened(f"queries cancelled after {seconds:.0f} s, the job failed as cancelled, the next run SAME")


@pytest.mark.fault("F25", "run marked failed, and deleted, while git hangs")
@pytest.mark.parametrize("deleted", [False, True], ids=["failed", "failed and deleted"])
def test_a_run_that_is_cancelled_while_git_hangs_leaves_nothing_and_the_next_one_works(
    faulty_airflow: FaultyAirflow, happened: Happened, deleted: bool
) -> None:
    with faulty_airflow.surviving(1):
        with faulty_airflow.git.hanging("pack-objects"):
            run = faulty_airflow.trigger(project_id=1)
            until(lambda: gits(faulty_airflow.files), RUN_SECONDS)
            job = run.job()
            assert folders_of_git(faulty_airflow)
            faulty_airflow.rest.fail_run(DAG_ID, run.id)
            if deleted:  # at once: Airflow refuses this while the run is running
                faulty_airflow.rest.call("DELETE", f"/dags/{DAG_ID}/dagRuns/{run.id}")
            seconds = until(lambda: not gits(faulty_airflow.files), seconds=15)
            until(lambda: not faulty_airflow.sessions(), seconds=15)
            until(lambda: not folders_of_git(faulty_airflow), seconds=5)
        pruning = faulty_airflow.rest.trigger(PRUNE, {})
        assert faulty_airflow.rest.wait_for_run(PRUNE, pruning, 60) == "success"
        ended = faulty_airflow.ledger.queries.job(job.id)
        assert (ended.state, "was cancelled or is gone" in ended.errors[0].message) == ("failed", True)
        assert list(faulty_airflow.store.rglob(f"{job.id}/**/project.tar.gz*")) == []
        faulty_airflow.assert_whole(faulty_airflow.trigger(project_id=1))
    happened(f"git ended after {seconds:.0f} s, no session, no temporary folder, the job failed, the next run SAME")


def folders_of_git(faulty_airflow: FaultyAirflow) -> list[Path]:
    """Return the temporary folders of calls of git."""
    return list(faulty_airflow.temporary.glob(f"{PREFIX}*"))


@pytest.mark.fault("F26", "SQL in parameters")
def test_sql_in_parameters_is_refused_or_a_value(faulty_airflow: FaultyAirflow, happened: Happened) -> None:
    before = schema(faulty_airflow)
    for conf in ({"project_id": "1;DROP TABLE projects"}, {"project_id": 1, "consistency": "';--"}):
        with pytest.raises(RestError, match=r": 4(00|22) "):
            faulty_airflow.trigger(**conf)
    text = """'; DROP TABLE projects; -- "$$ %s {} \\"""
    with faulty_airflow.surviving(3):
        relations = faulty_airflow.trigger(project_id=3, relations=["labels; DROP TABLE projects"])
        described = faulty_airflow.trigger(project_id=3, description=text, relations=["labels"])
        assert relations.ended() == "failed"
        assert "is unknown" in relations.log(CREATE)
        assert described.ended() == "success"
    assert schema(faulty_airflow) == before
    happened("refused by the form or by create; a description is exported as it was typed; schema unchanged")


def schema(faulty_airflow: FaultyAirflow) -> list[tuple[object, ...]]:
    """Return every column of the source, and the number of its projects."""
    columns = "SELECT table_name, column_name, data_type FROM information_schema.columns ORDER BY 1, 2"
    return [*faulty_airflow.sql(columns), *faulty_airflow.sql("SELECT count(*) FROM projects")]


@pytest.mark.fault("F32", "secrets in logs, XComs, conf or templates of all runs above")
def test_no_fault_has_shown_a_secret(faulty_airflow: FaultyAirflow, happened: Happened) -> None:
    secrets = [*faulty_airflow.passwords.values(), faulty_airflow.airflow.password("admin")]
    texts = [path.read_text(errors="replace") for path in faulty_airflow.airflow.logs.rglob("*.log")]
    for run in faulty_airflow.runs():
        texts += [json.dumps(run.tasks()), json.dumps(run.get())]
        texts += [json.dumps(run.xcoms(task)) for task in (CREATE, HOLD, EXPORT, WAIT, MERGE, AFTER)]
    assert len(texts) > 50
    assert not [text for text in texts if any(secret in text for secret in secrets)]
    happened(f"none in {len(texts)} logs and answers")
