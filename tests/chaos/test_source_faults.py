"""The source is slow, locked, hostile, or changes under the export: on steps and the shell, without Airflow."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path

import psycopg
import pytest
from archives import read_archive
from runs import attempts, context, locked, merge, path_of, started, wait_until, work

from dev.postgres import Server
from project_export.errors import ProjectNotFound, RelationsFailed
from project_export.steps import Holder, watch
from tests.chaos import victims
from tests.chaos.conftest import Happened
from tests.chaos.ground import Undisturbed, archive_of, assert_nothing_left, assert_verified, shell_export

RUN = "dag/run"
HOSTILE = "\u2028 \u2029 <script>& \r\n\t \x01\x7f \\u0000 \\ \" ' \ufeff \ufffe \U0001f600 \u202e;DROP"


@pytest.mark.fault("F06", "statement timeout")
def test_a_statement_that_takes_too_long_is_retried_then_fails_by_name(
    generated_copy: str, tmp_path: Path, happened: Happened
) -> None:
    with locked(generated_copy, "lists"):
        begun = time.monotonic()
        done = shell_export(generated_copy, tmp_path, "--jobs", "2", statement_timeout_seconds="0.3")
        seconds = time.monotonic() - begun
    assert done.returncode == 1
    assert "boards [57014] (attempt 3)" in done.stderr
    assert "1 relation(s) failed" in done.stderr
    assert not list(tmp_path.rglob("*.tar.gz"))
    assert_nothing_left(generated_copy, tmp_path)
    happened(f"three attempts in {seconds:.0f} s, then failed with relation and 57014; no archive")


@pytest.mark.fault("F07", "table locked")
def test_a_lock_is_not_waited_for_for_ever_and_the_other_relations_finish(
    generated_copy: str, tmp_path: Path, undisturbed: Undisturbed, happened: Happened
) -> None:
    with locked(generated_copy, "lists"):
        done = shell_export(generated_copy, tmp_path, "--jobs", "2", lock_timeout_seconds="0.3")
    assert done.returncode == 1
    assert "boards [55P03] (attempt 3)" in done.stderr
    assert "1 relation(s) failed" in done.stderr
    assert_nothing_left(generated_copy, tmp_path)
    undisturbed.assert_same(archive_of(shell_export(generated_copy, tmp_path, "--jobs", "2")), 1)
    happened("lock_timeout fired, one relation failed with 55P03, all others finished; without the lock SAME")


@pytest.mark.fault("F15", "project deleted in the middle")
@pytest.mark.quick
def test_what_is_deleted_after_the_snapshot_is_still_exported(
    generated_copy: str, database: str, tmp_path: Path, undisturbed: Undisturbed, happened: Happened
) -> None:
    ctx = context(generated_copy, database, tmp_path)
    created = started(ctx)
    holder = Holder(ctx, created.job_id)
    delete(generated_copy)
    assert work(ctx, created) == []
    undisturbed.assert_same(path_of(merge(ctx, created)), 1)
    holder.close()
    assert_nothing_left(generated_copy, tmp_path)
    happened("after the snapshot: all of it, SAME")


@pytest.mark.fault("F15", "project deleted before the snapshot")
def test_what_is_deleted_before_the_snapshot_is_not_found(
    generated_copy: str, database: str, tmp_path: Path, happened: Happened
) -> None:
    ctx = context(generated_copy, database, tmp_path, units=1)
    created = started(ctx)
    delete(generated_copy)
    work(ctx, created)
    with pytest.raises(RelationsFailed, match="project 1 is not in projects"):
        merge(ctx, created)
    assert set(attempts(ctx, created).values()) == {1}
    with pytest.raises(ProjectNotFound):
        started(ctx, run_id="dag/next")
    assert_nothing_left(generated_copy, tmp_path)
    happened("failed as not found, each relation tried once; the next run is refused")


def delete(source: str) -> None:
    with psycopg.connect(source) as conn:
        conn.execute("SET session_replication_role = replica")  # what hangs on it goes with it in GitLab, too
        for statement in ("DELETE FROM issues WHERE project_id = 1", "DELETE FROM projects WHERE id = 1"):
            conn.execute(statement.encode())


@pytest.mark.fault("F17", "row that cannot be written as JSON")
def test_a_poison_row_fails_its_relation_and_is_named(generated_copy: str, tmp_path: Path, happened: Happened) -> None:
    with psycopg.connect(generated_copy) as conn:
        conn.execute("UPDATE merge_requests SET merge_params = '[' WHERE id = (SELECT min(id) FROM merge_requests)")
    done = shell_export(generated_copy, tmp_path, "--jobs", "2")
    assert done.returncode == 1
    failed = done.stderr.partition("relation(s) failed, so no archive was published:")[2]
    assert "merge_requests (attempt 1): merge_requests.merge_params of the row with id " in failed
    assert {line.split()[0] for line in failed.splitlines() if "(attempt" in line} == {"merge_requests", "ci_pipelines"}
    assert not list(tmp_path.rglob("*.tar.gz"))
    assert_nothing_left(generated_copy, tmp_path)
    happened("failed with relation, key and id after one attempt; no archive")


@pytest.mark.fault("F19", "hostile text")
def test_hostile_values_leave_as_they_are(generated_copy: str, tmp_path: Path, happened: Happened) -> None:
    with psycopg.connect(generated_copy) as conn:
        conn.execute("UPDATE labels SET description = %s WHERE project_id = 1", [HOSTILE])
    archive = archive_of(shell_export(generated_copy, tmp_path, "--jobs", "1"))
    folder = tmp_path / "undisturbed"
    folder.mkdir()
    Undisturbed(generated_copy, folder, None).assert_same(archive, 1)
    assert {label["description"] for label in read_archive(archive)["labels"]} == {HOSTILE}
    assert_nothing_left(generated_copy, tmp_path)
    happened("every character came out as it went in; verified")


@pytest.mark.fault("F19", "times that JSON has no form for")
@pytest.mark.parametrize("value", ["infinity", "-infinity"])
def test_no_time_leaves_as_null(generated_copy: str, tmp_path: Path, happened: Happened, value: str) -> None:
    with psycopg.connect(generated_copy) as conn:
        conn.execute("UPDATE labels SET updated_at = %s WHERE project_id = 1", [value])
    archive = archive_of(shell_export(generated_copy, tmp_path, "--jobs", "1"))
    assert {label["updated_at"] for label in read_archive(archive)["labels"]} == {None}
    assert_verified(archive)
    assert_nothing_left(generated_copy, tmp_path)
    happened(f"{value} leaves as null, as in GitLab; verified")


@pytest.mark.fault("F19", "time before our era")
def test_a_year_before_our_era_leaves_as_in_rails_and_verify_takes_it(
    generated_copy: str, tmp_path: Path, happened: Happened
) -> None:
    with psycopg.connect(generated_copy) as conn:
        conn.execute("UPDATE releases SET updated_at = '0044-03-15 12:00:00 BC' WHERE project_id = 1")
    archive = archive_of(shell_export(generated_copy, tmp_path, "--jobs", "1"))
    assert {one["updated_at"] for one in read_archive(archive)["releases"]} == {"-0043-03-15T12:00:00.000Z"}
    assert_verified(archive)
    assert_nothing_left(generated_copy, tmp_path)
    happened("leaves as in GitLab, whose importer reads it; verified")


@pytest.mark.fault("F19", "bytes that are no UTF-8, in a SQL_ASCII database")
def test_bytes_that_are_no_utf_8_fail_their_relation_by_name(
    server: Server, generated_copy: str, tmp_path: Path, happened: Happened
) -> None:
    with psycopg.connect(server.uri(), autocommit=True) as conn:
        name = psycopg.conninfo.conninfo_to_dict(generated_copy)["dbname"]
        conn.execute("UPDATE pg_database SET encoding = 0 WHERE datname = %s", [name])
    with psycopg.connect(generated_copy, client_encoding="utf8") as conn:
        conn.execute(rb"UPDATE releases SET name = E'caf\xe9' WHERE project_id = 1")
    done = shell_export(generated_copy, tmp_path, "--jobs", "1")
    assert done.returncode == 1
    assert "1 relation(s) failed, so no archive was published:\n  releases [22021] (attempt 1): " in done.stderr
    assert not list(tmp_path.rglob("*.tar.gz"))
    assert_nothing_left(generated_copy, tmp_path)
    happened("failed with relation and 22021 after one attempt, no archive")


@pytest.mark.fault("F23", "clock of the worker wrong by a day")
@pytest.mark.parametrize("skew_seconds", [-86_400, 86_400])
def test_a_wrong_clock_makes_no_worker_stale(
    generated_copy: str, database: str, tmp_path: Path, undisturbed: Undisturbed, happened: Happened, skew_seconds: int
) -> None:
    ctx = context(generated_copy, database, tmp_path, units=1, hung_seconds=3)
    created = started(ctx)
    arguments = (generated_copy, database, tmp_path, created.job_id, RUN, skew_seconds)
    process = multiprocessing.get_context("spawn").Process(target=victims.work_unit, args=arguments)
    with locked(generated_copy, "lists"):
        process.start()
        wait_until(
            lambda: "boards" in {row.relation for row in ctx.ledger.rows(created.job_id) if row.state == "started"}
        )
        until = time.monotonic() + 5
        while time.monotonic() < until:
            watch(ctx, created.job_id, {})
            time.sleep(0.2)
    process.join(60)
    assert process.exitcode == 0
    assert set(attempts(ctx, created).values()) == {1}
    undisturbed.assert_same(path_of(merge(ctx, created)), 1)
    assert_nothing_left(generated_copy, tmp_path)
    happened(f"{skew_seconds:+} s: judged by the ledger's clock, one attempt each, SAME")
