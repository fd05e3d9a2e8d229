"""The DAG in a real Airflow. Each run takes seconds, so the ones that fail early are triggered first, all at once."""

from __future__ import annotations

import json
import re
import tarfile
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from dev.rest import RestError
from project_export.archive.manifest import Manifest
from project_export.archive.verify import verify
from tests.archives import read_archive
from tests.dags.stage import AFTER, CREATE, DAG_ID, END, EXPORT, GRACE_SECONDS, HOLD, MERGE, WAIT, Run, Stage, until
from tests.reader import read_project

MERGE_UNIT = "/-1"
LINK = "_link_ExportLink"

REFUSED = {
    "an unknown project": ({"project_id": 999_999}, "project 999999 is not in projects of the source"),
    "an unknown relation": ({"project_id": 4, "relations": ["isues"]}, "relation isues is unknown; nearest: issues"),
    "an unknown key": ({"project_id": 4, "relation": ["issues"]}, "parameter relation is unknown; nearest: relations"),
}

FROM_GIT = {"project": ["default_branch"], "merge_requests": ["source_branch_sha", "target_branch_sha"]}
"""Keys whose values come from the repository, which the second reader leaves out."""


@pytest.fixture(scope="module", autouse=True)
def early(stage: Stage) -> dict[str, Run]:
    runs = {name: stage.trigger(**conf) for name, (conf, _) in REFUSED.items()}
    return {**runs, "labels": stage.trigger(project_id=3, relations=["labels"])}


@dataclass(frozen=True)
class Pair:
    """A run of project 1, what the grid called its units meanwhile, and a second run that was triggered meanwhile."""

    run: Run
    names: list[str]
    twin: Run


@pytest.fixture(scope="module")
def pair(stage: Stage) -> Pair:
    with stage.locked("lists"):
        run = stage.trigger(project_id=1)
        until(lambda: stage.sessions(waiting=True), seconds=150)
        twin = stage.trigger(project_id=1)
        names = [task["rendered_map_index"] for task in run.tasks() if task["task_id"] == EXPORT]
        assert twin.ended() == "failed"
        assert run.states()[HOLD] == "deferred"
    assert run.ended() == "success"
    return Pair(run, names, twin)


@pytest.fixture
def whole_run(pair: Pair) -> Run:
    return pair.run


@pytest.mark.parametrize("conf", [{"project_id": 0}, {"project_id": -3}, {"project_id": "x"}, {}])
def test_a_project_id_that_is_no_positive_integer_starts_no_run(stage, conf):
    before = stage.rest.call("GET", f"/dags/{DAG_ID}/dagRuns")["total_entries"]
    with pytest.raises(RestError, match=r": 4(00|22) .*project_id"):
        stage.trigger(**conf)
    assert stage.rest.call("GET", f"/dags/{DAG_ID}/dagRuns")["total_entries"] == before


def test_a_whole_project_is_exported_by_several_units_from_one_snapshot(stage, whole_run):
    assert set(whole_run.states().values()) == {"success"}
    records, manifest = read(whole_run)
    assert records == second_reading(stage, 1)
    assert manifest.snapshot.generation == 1
    assert {part.generation for relation in manifest.relations for part in relation.parts} == {1}
    assert {relation.attempts for relation in manifest.relations} == {1}


def test_a_second_run_of_the_same_project_fails_and_names_the_first(pair):
    for task in (CREATE, END):
        assert f"being exported by job {pair.run.job().id}: run {DAG_ID}/{pair.run.id}" in pair.twin.log(task)


def test_the_grid_names_what_is_planned_for_each_unit_as_soon_as_it_runs(pair):
    assert sorted(pair.names) == sorted(pair.run.job().plan["titles"])
    assert len(pair.names) == 3
    assert "issues" in pair.names


def test_xcom_holds_names_and_counts_only(whole_run):
    job = whole_run.job()
    links = {task: whole_run.xcoms(task)[LINK] for task in (CREATE, MERGE)}
    assert whole_run.xcoms(CREATE) == {
        LINK: links[CREATE],
        "return_value": [
            {"job_id": job.id, "source": job.source, "unit": unit, "title": title, "alone": False, "shared": True}
            for unit, title in enumerate(job.plan["titles"])
        ],
    }
    units = whole_run.xcoms(EXPORT)
    assert {key: sorted(value) for key, value in units.items()} == {
        f"return_value[{unit}]": ["parts", "raw_bytes", "records"] for unit in range(3)
    }
    assert sum(value["records"] for value in units.values()) == job.records
    assert whole_run.xcoms(WAIT) == whole_run.xcoms(HOLD) == {}
    archive = {"uri": job.archive_uri, "bytes": job.archive_bytes, "sha256": job.archive_sha256}
    assert whole_run.xcoms(MERGE) == {
        LINK: links[MERGE],
        "return_value": {**archive, "records": job.records, "omissions": 0},
    }
    assert whole_run.xcoms(END) == {"return_value": job.archive_uri}


def test_the_links_of_create_and_merge_show_the_job_of_the_run(stage, whole_run, early):
    for run, task in ((whole_run, CREATE), (whole_run, MERGE), (early["an unknown project"], CREATE)):
        run.ended()
        link = run.get(f"taskInstances/{task}/links")["extra_links"]["Export"]
        assert link.startswith(f"{stage.airflow.url}/project-exports/run?")
        assert parse_qs(urlsplit(link).query) == {"dag_id": [DAG_ID], "run_id": [run.id]}


def test_the_grid_names_what_each_unit_did_when_it_has_ended(whole_run):
    names = [task["rendered_map_index"] for task in whole_run.tasks() if task["task_id"] == EXPORT]
    did = [name for name in names if name.endswith(" records")]
    assert set(names) - set(did) <= {"nothing left to do"}
    assert sum(int(name.rpartition(": ")[2].split()[0].replace(",", "")) for name in did) == whole_run.job().records


def test_the_waiter_says_how_much_is_done(whole_run):
    assert re.search(r"\d+ %(, about \d+:\d\d:\d\d left)?: \d+ of \d+ finished", whole_run.log(WAIT))


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused_fails_in_the_first_task_says_why_and_leaves_nothing(stage, early, what):
    run, (conf, why) = early[what], REFUSED[what]
    assert run.ended() == "failed"
    assert run.states() == {
        CREATE: "failed",
        HOLD: "upstream_failed",
        EXPORT: "upstream_failed",
        WAIT: "skipped",
        MERGE: "skipped",
        AFTER: "upstream_failed",
        END: "failed",
    }
    assert why in run.log(CREATE)
    assert f"no archive was published: {why}" in run.log(END)
    assert run.xcoms(CREATE)["error"].startswith(why)
    assert {task["try_number"] for task in run.tasks() if task["task_id"] in (CREATE, WAIT, MERGE, END)} == {1}
    assert stage.ledger.queries.job_of_run(f"{DAG_ID}/{run.id}") is None
    owners = [stage.ledger.queries.job(int(folder.name)).run_id for folder in stage.job_folders(conf["project_id"])]
    assert f"{DAG_ID}/{run.id}" not in owners


def test_only_the_relations_asked_for_are_in_the_archive(stage, early):
    run = early["labels"]
    assert run.ended() == "success"
    records, _ = read(run)
    assert records == {name: of for name, of in second_reading(stage, 3).items() if name in ("project", "labels")}
    with tarfile.open(run.archive()) as tar:
        files = {name for name in tar.getnames() if "/tree/" in name and name.endswith("json")}
    assert files == {"./tree/project.json", "./tree/project/labels.ndjson"}
    assert run.states() == {
        CREATE: "success",
        HOLD: "skipped",
        f"{EXPORT}[0]": "success",
        WAIT: "success",
        MERGE: "success",
        AFTER: "success",
        END: "success",
    }


def test_a_relation_that_fails_makes_the_run_red_and_clearing_what_failed_makes_it_green(stage):
    stage.sql("REVOKE SELECT ON lists FROM stage_reader")
    try:
        run = stage.trigger(project_id=2)
        until(lambda: run.states()[AFTER] == "upstream_failed", seconds=150)
    finally:
        stage.sql("GRANT SELECT ON lists TO stage_reader")
    assert run.states()[HOLD] == "deferred"
    job = run.job()
    rows = stage.ledger.queries.rows(job.id)
    log = run.log(MERGE)
    assert "boards [42501]" in log
    assert "permission denied for table lists" in log
    assert {row.relation: row.state for row in rows if row.state != "finished"} == {"boards": "failed"}
    assert {row.attempt for row in rows} == {1}
    assert job.state == "failed"
    assert [failure.relation for failure in job.errors] == ["boards"]
    assert {path.name for path in stage.job_folders(2)[-1].iterdir()} == {"parts"}
    assert job.finished_at is not None
    until_when = job.finished_at + timedelta(seconds=GRACE_SECONDS)
    assert f"failed, resumable until {until_when:%H:%M} UTC: clear the failed tasks" in log
    error = run.xcoms(MERGE)["error"]
    assert [one["relation"] for one in error["errors"]] == ["boards"]
    assert error["resumable_until"] == until_when.isoformat()

    run.clear(only_failed=True)
    assert run.ended() == "success"
    assert run.states()[HOLD] == "success"
    records, manifest = read(run)
    assert records == second_reading(stage, 2)
    assert run.job().id == job.id
    # The snapshot was still held, so that only what was missing was read.
    assert manifest.snapshot.generation == 1
    assert {row.relation: row.attempt for row in stage.ledger.queries.rows(job.id) if row.attempt > 1} == {"boards": 2}
    assert [notice["outcome"] for notice in run.notices()] == ["failed", "finished"]


@pytest.mark.slow
def test_units_that_are_cleared_together_after_the_grace_share_one_new_snapshot(stage):
    stage.sql("REVOKE SELECT ON lists, label_priorities FROM stage_reader")
    try:
        run = stage.trigger(project_id=2)
        assert run.ended() == "failed"
    finally:
        stage.sql("GRANT SELECT ON lists, label_priorities TO stage_reader")
    assert run.states()[HOLD] == "success"
    assert "boards [42501]" in run.log(END)
    assert len(run.notices()) == 1
    units = [name for name in run.states() if name.startswith(f"{EXPORT}[")]
    with stage.locked("release_links"):
        run.clear(task_ids=[[EXPORT, index] for index in range(len(units))], include_downstream=True)
        until(lambda: stage.sessions(waiting=True))
        until(lambda: stage.ledger.queries.progress(run.job().id).queued == 0)
        # While one unit waits for the lock, the others have done all the rest.
        assert len(stage.sessions(waiting=True)) == 1
    assert run.ended() == "success"
    records, manifest = read(run)
    assert records == second_reading(stage, 2)
    assert manifest.snapshot.generation == 2
    owners = {(row.owner or "").rpartition("/")[0] for row in stage.ledger.queries.rows(run.job().id)}
    assert len(owners) > 1
    assert not any(MERGE_UNIT in owner for owner in owners)


@pytest.mark.slow
def test_a_holder_that_is_marked_failed_does_not_make_a_published_run_red(stage):
    with stage.locked("lists"):
        run = stage.trigger(project_id=2)
        until(lambda: stage.sessions(waiting=True))
        stage.rest.call("PATCH", f"/dags/{DAG_ID}/dagRuns/{run.id}/taskInstances/{HOLD}", {"new_state": "failed"})
        until(lambda: not [name for name in stage.sessions() if name.endswith("snapshot")])
    assert run.ended() == "success"
    assert (run.states()[HOLD], run.states()[END]) == ("failed", "success")
    records, manifest = read(run)
    assert records == second_reading(stage, 2)
    assert manifest.snapshot.generation == 1


@pytest.mark.slow
def test_the_first_failure_ends_a_run_that_is_to_fail_fast_and_a_clear_exports_what_is_missing(stage):
    stage.sql("REVOKE SELECT ON labels FROM stage_reader")
    try:
        with stage.locked("release_links"):
            run = stage.trigger(project_id=1, consistency="relation", fail_fast=True)
            assert run.ended() == "failed"
            assert stage.sessions() == []
    finally:
        stage.sql("GRANT SELECT ON labels TO stage_reader")
    *own, others = run.job().errors
    assert "were cancelled" in others.message
    assert own, run.job().errors
    assert {failure.sqlstate for failure in own} == {"42501"}
    assert run.states()[WAIT] == "failed"
    assert len(run.notices()) == 1

    run.clear(only_failed=True)
    assert run.ended() == "success"
    assert run.states()[WAIT] == "success"
    records, _ = read(run)
    assert records == second_reading(stage, 1)


@pytest.mark.slow
def test_a_cancelled_run_leaves_the_source_in_peace_and_the_next_run_takes_over(stage):
    with stage.locked("lists"):
        run = stage.trigger(project_id=2, consistency="relation")
        until(lambda: stage.sessions(waiting=True))
        stage.rest.fail_run(DAG_ID, run.id)
        until(lambda: stage.sessions() == [], seconds=15)
    following = stage.trigger(project_id=2, consistency="relation")
    assert following.ended() == "success"
    assert run.job().state == "failed"
    assert f"run {DAG_ID}/{run.id} was cancelled or is gone" in str(run.job().errors[0])
    records, manifest = read(following)
    assert records == second_reading(stage, 2)
    assert manifest.snapshot.id is None
    assert len([name for name in following.states() if name.startswith(EXPORT)]) == 3


def test_no_secret_is_in_logs_xcoms_or_rendered_templates(stage):
    secrets = [*stage.passwords.values(), stage.airflow.password("admin")]
    texts = [path.read_text(errors="replace") for path in stage.airflow.logs.rglob("*.log")]
    for run in stage.runs():
        texts += [
            json.dumps(run.tasks()),
            *(json.dumps(run.xcoms(task)) for task in (CREATE, HOLD, EXPORT, WAIT, MERGE, END)),
        ]
    assert len(texts) > 50
    assert not [text for text in texts if any(secret in text for secret in secrets)]


def read(run: Run) -> tuple[dict[str, list[Any]], Manifest]:
    """Verify a run's archive; return its records and its manifest."""
    path = run.archive()
    manifest = Manifest.from_json(path.with_name("project.manifest.json").read_text())
    assert verify(path, manifest).problems == ()
    records = read_archive(path)
    for relation, keys in FROM_GIT.items():
        for record in records.get(relation, ()):
            for key in keys:
                del record[key]
    return records, manifest


def second_reading(stage: Stage, project_id: int) -> dict[str, list[Any]]:
    """Return what the archive has to hold, as the second reader finds it in the source."""
    with psycopg.connect(stage.source) as connection:
        return {name: of for name, of in read_project(connection, project_id).items() if of}
