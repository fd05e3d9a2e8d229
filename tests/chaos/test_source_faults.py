"""The source is slow, locked, hostile, or changes under the export: on steps and the shell, without Airflow."""

from __future__ import annotations

import time

import psycopg
import pytest

from dev.postgres import Server
from project_export.errors import ProjectNotFound, RelationsFailed
from project_export.steps import Holder
from tests.archives import read_archive
from tests.chaos.conftest import Happened
from tests.chaos.environment import Environment, archive_of
from tests.runs import attempts, locked, merge, started, work

HOSTILE = "\u2028 \u2029 <script>& \r\n\t \x01\x7f \\u0000 \\ \" ' \ufeff \ufffe \U0001f600 \u202e;DROP"


@pytest.mark.fault("F06", "statement timeout")
def test_a_statement_that_takes_too_long_is_retried_then_fails_by_name(
    shell_environment: Environment, happened: Happened
) -> None:
    with shell_environment.surviving():
        with locked(shell_environment.source, "lists"):
            begun = time.monotonic()
            done = shell_environment.shell("--jobs", "2", statement_timeout_seconds="0.3")
            seconds = time.monotonic() - begun
        assert done.returncode == 1
        assert "boards [57014] (attempt 3)" in done.stderr
        assert "1 relation(s) failed" in done.stderr
        assert len(shell_environment.archives()) == 1
    happened(f"three attempts in {seconds:.0f} s, then failed with relation and 57014; no new archive")


@pytest.mark.fault("F07", "table locked")
def test_a_lock_is_not_waited_for_for_ever_and_the_other_relations_finish(
    shell_environment: Environment, happened: Happened
) -> None:
    with shell_environment.surviving():
        with locked(shell_environment.source, "lists"):
            done = shell_environment.shell("--jobs", "2", lock_timeout_seconds="0.3")
        assert done.returncode == 1
        assert "boards [55P03] (attempt 3)" in done.stderr
        assert "1 relation(s) failed" in done.stderr
        assert len(shell_environment.archives()) == 1
        archive_of(shell_environment.shell("--jobs", "2"))
    happened("lock_timeout fired, one relation failed with 55P03, all others finished; without the lock SAME")


@pytest.mark.fault("F15", "project deleted in the middle")
def test_what_is_deleted_after_the_snapshot_is_still_exported(environment: Environment, happened: Happened) -> None:
    with environment.surviving():
        ctx = environment.context()
        created = started(ctx)
        holder = Holder(ctx, created.job_id)
        delete(environment.source)
        assert work(ctx, created) == []
        merge(ctx, created)
        holder.close()
        assert environment.offered(1).id == created.job_id
    happened("after the snapshot: all of it, SAME")


@pytest.mark.fault("F15", "project deleted before the snapshot")
def test_what_is_deleted_before_the_snapshot_is_not_found(environment: Environment, happened: Happened) -> None:
    with environment.surviving():
        ctx = environment.context(units=1)
        created = started(ctx)
        delete(environment.source)
        work(ctx, created)
        with pytest.raises(RelationsFailed, match="project 1 is not in projects"):
            merge(ctx, created)
        assert set(attempts(ctx, created).values()) == {1}
        with pytest.raises(ProjectNotFound):
            started(ctx, run_id="dag/next")
    happened("failed as not found, each relation tried once; the next run is refused; the archive of before stays")


def delete(source: str) -> None:
    with psycopg.connect(source) as conn:
        conn.execute("SET session_replication_role = replica")  # what hangs on it goes with it in GitLab, too
        for statement in ("DELETE FROM issues WHERE project_id = 1", "DELETE FROM projects WHERE id = 1"):
            conn.execute(statement.encode())


@pytest.mark.fault("F17", "row that cannot be written as JSON")
def test_a_poison_row_fails_its_relation_and_is_named(shell_environment: Environment, happened: Happened) -> None:
    with shell_environment.surviving():
        with psycopg.connect(shell_environment.source) as conn:
            conn.execute("UPDATE merge_requests SET merge_params = '[' WHERE id = (SELECT min(id) FROM merge_requests)")
        done = shell_environment.shell("--jobs", "2")
        assert done.returncode == 1
        failed = done.stderr.partition("relation(s) failed, so no archive was published:")[2]
        assert "merge_requests (attempt 1): merge_requests.merge_params of the row with id " in failed
        names = {line.split()[0] for line in failed.splitlines() if "(attempt" in line}
        assert names == {"merge_requests", "ci_pipelines"}
        assert len(shell_environment.archives()) == 1
    happened("failed with relation, key and id after one attempt; no new archive")


@pytest.mark.fault("F19", "hostile text")
def test_hostile_values_leave_as_they_are(shell_environment: Environment, happened: Happened) -> None:
    with shell_environment.surviving():
        with psycopg.connect(shell_environment.source) as conn:
            conn.execute("UPDATE labels SET description = %s WHERE project_id = 1", [HOSTILE])
        shell_environment.changed()
        archive = archive_of(shell_environment.shell("--jobs", "1"))
        assert {label["description"] for label in read_archive(archive)["labels"]} == {HOSTILE}
    happened("every character came out as it went in; the same as by steps")


@pytest.mark.fault("F19", "times that JSON has no form for")
@pytest.mark.parametrize("value", ["infinity", "-infinity"])
def test_no_time_leaves_as_null(shell_environment: Environment, happened: Happened, value: str) -> None:
    with shell_environment.surviving():
        with psycopg.connect(shell_environment.source) as conn:
            conn.execute("UPDATE labels SET updated_at = %s WHERE project_id = 1", [value])
        shell_environment.changed()
        archive = archive_of(shell_environment.shell("--jobs", "1"))
        assert {label["updated_at"] for label in read_archive(archive)["labels"]} == {None}
    happened(f"{value} is exported as null, as in GitLab")


@pytest.mark.fault("F19", "time before our era")
def test_a_year_before_our_era_leaves_as_in_rails_and_verify_takes_it(
    shell_environment: Environment, happened: Happened
) -> None:
    with shell_environment.surviving():
        with psycopg.connect(shell_environment.source) as conn:
            conn.execute("UPDATE releases SET updated_at = '0044-03-15 12:00:00 BC' WHERE project_id = 1")
        shell_environment.changed(tools=False)  # check_archive.py takes no year with a minus
        archive = archive_of(shell_environment.shell("--jobs", "1"))
        assert {one["updated_at"] for one in read_archive(archive)["releases"]} == {"-0043-03-15T12:00:00.000Z"}
    happened("is exported as in GitLab, whose importer reads it")


@pytest.mark.fault("F19", "bytes that are not UTF-8, in a SQL_ASCII database")
def test_bytes_that_are_no_utf_8_fail_their_relation_by_name(
    server: Server, shell_environment: Environment, happened: Happened
) -> None:
    with shell_environment.surviving():
        with psycopg.connect(server.uri(), autocommit=True) as conn:
            name = psycopg.conninfo.conninfo_to_dict(shell_environment.source)["dbname"]
            conn.execute("UPDATE pg_database SET encoding = 0 WHERE datname = %s", [name])
        with psycopg.connect(shell_environment.source, client_encoding="utf8") as conn:
            conn.execute(rb"UPDATE releases SET name = E'caf\xe9' WHERE project_id = 1")
        done = shell_environment.shell("--jobs", "1")
        assert done.returncode == 1
        assert "1 relation(s) failed, so no archive was published:\n  releases [22021] (attempt 1): " in done.stderr
        assert len(shell_environment.archives()) == 1
    happened("failed with relation and 22021 after one attempt, no new archive")
