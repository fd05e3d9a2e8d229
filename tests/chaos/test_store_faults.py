"""The merge is killed, units are dispatched twice, the store refuses: on real processes, without Airflow."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from project_export.errors import RelationsFailed, StoreRefused
from project_export.steps import Context, Created, Holder, Notice
from project_export.store import ARCHIVE, manifest_of
from tests import flaky
from tests.archives import read_archive
from tests.chaos import victims
from tests.chaos.conftest import Happened
from tests.chaos.environment import Environment, archive_of
from tests.chaos.invariants import digest, path
from tests.runs import attempts, merge, path_of, started, work

RUN = "dag/run"


@pytest.mark.fault("F02", "two processes of the same unit, two of the same merge")
def test_twins_of_a_unit_and_of_the_merge_give_one_archive(environment: Environment, happened: Happened) -> None:
    with environment.surviving():
        ctx = environment.context(units=1)
        created = started(ctx, consistency="relation")
        for target in (victims.work_unit, victims.merge_job):
            twins = [environment.process(target, created, RUN) for _ in range(2)]
            for twin in twins:
                twin.join(60)
            assert 0 in {twin.exitcode for twin in twins}
        job = ctx.ledger.queries.job(created.job_id)
        assert job.state == "finished"
        assert digest(path_of(merge(ctx, created))) == job.archive_sha256
        rows = ctx.ledger.queries.rows(job.id)
        assert len({(row.relation, row.part) for row in rows}) == len(rows)
    happened("each row had one winner, SAME")


@pytest.mark.fault("F10", "merge killed -9")
@pytest.mark.parametrize("moment", victims.MOMENTS)
def test_a_killed_merge_publishes_the_whole_archive_or_none_and_is_repeated(
    environment: Environment, happened: Happened, moment: str
) -> None:
    late = moment == "before the removal"
    ctx = environment.context(units=1)
    with environment.surviving():
        created = exported(ctx)
        kill_merge(environment, created, moment)
        assert (ctx.ledger.queries.job(created.job_id).archive_uri is not None) == late
        first = path_of(merge(ctx, created, attempt=2))
        assert set(attempts(ctx, created).values()) == {1}

    with environment.surviving(replaced=True):
        with psycopg.connect(environment.source) as conn:
            conn.execute("UPDATE labels SET title = title || ' changed' WHERE project_id = 1")
        environment.changed()
        assert started(ctx) == created  # the run is cleared
        assert work(ctx, created, attempt=2) == []
        before = environment.offered(1)
        assert (path(before), digest(first)) == (first, before.archive_sha256)
        kill_merge(environment, created, moment)
        now = environment.offered(1)
        assert (now.archive_sha256 != before.archive_sha256) == late
        assert digest(path(now)) == now.archive_sha256
        last = path_of(merge(ctx, created, attempt=3))
        assert (last == first, first.exists()) == (False, False)
        assert {label["title"].endswith(" changed") for label in read_archive(last)["labels"]} == {True}
        assert set(attempts(ctx, created).values()) == {2}
        assert len(list(last.parents[1].rglob("project.[mt]*"))) == 2
    happened(f"{moment}: {'the new archive' if late else 'the one before'} counted, whole; repeated, SAME")


def exported(ctx: Context) -> Created:
    """Return a job all of whose relations are exported, by one unit."""
    created = started(ctx)
    assert work(ctx, created) == []
    return created


def kill_merge(environment: Environment, created: Created, moment: str) -> None:
    process = environment.process(victims.merge_and_die, created, RUN, moment)
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.fault("F09", "store refuses to be written")
def test_a_store_that_refuses_fails_the_export_after_bounded_tries(
    environment: Environment, happened: Happened
) -> None:
    with environment.surviving():
        ctx = environment.context(units=1, max_attempts=2)
        created = started(ctx, consistency="relation")
        with denied(environment.store):
            assert work(ctx, created) != []
            with pytest.raises(Exception, match=r"E(ROFS|ACCES)"):
                merge(ctx, created)
        job = ctx.ledger.queries.job(created.job_id)
        assert job.state == "failed"
        assert all("EROFS" in error.message or "EACCES" in error.message for error in job.errors)
        assert {error.attempt for error in job.errors} == {2}
        with pytest.raises(StoreRefused), denied(environment.store):
            ctx.store.check()
        environment.assert_nothing_left()
        merge(ctx, created, attempt=2)
        assert environment.offered(1).id == created.job_id
    happened("two tries each, then failed with path and errno; repeated when it could be written, SAME")


@contextmanager
def denied(folder: Path) -> Iterator[None]:
    """Let nobody write in a folder; for root, whom rights do not stop, a read-only one lies over it."""
    if os.geteuid() != 0:
        folder.chmod(0o555)
        try:
            yield
        finally:
            folder.chmod(0o755)
        return
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", folder], capture_output=True, check=False
    ).returncode:
        pytest.skip("nothing can be mounted here, and rights do not stop root")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.fault("F31", "at most 64 open files")
def test_few_open_files_are_enough(shell_environment: Environment, happened: Happened) -> None:
    with shell_environment.surviving():
        archive_of(shell_environment.shell("--jobs", "2", limit="-n 64"))
    happened("enough, SAME")


@pytest.mark.fault("F31", "too few open files")
def test_too_few_open_files_are_a_clean_failure_and_a_repeated_export_works(
    shell_environment: Environment, happened: Happened
) -> None:
    with shell_environment.surviving():
        done = shell_environment.shell("--jobs", "1", limit="-n 12")
        assert done.returncode != 0
        assert "Too many open files" in done.stderr
        assert "Traceback" not in done.stderr
        assert len(shell_environment.archives()) == 1
        archive_of(shell_environment.shell("--jobs", "1"))
    happened(f"exit code {done.returncode}, no new archive; the next export SAME")


AWAY = ("probe", "write", "publish", "read", "list", "remove")


@pytest.mark.fault("F35", "object store away")
@pytest.mark.parametrize("step", AWAY)
def test_an_object_store_that_is_away_at_any_step_ends_the_job_with_its_error_and_a_clear_completes_it(
    environment: Environment, happened: Happened, tmp_path: Path, step: str
) -> None:
    notices: list[Notice] = []
    with environment.surviving(), flaky.empty() as uri:
        plain = environment.context(store=uri, max_attempts=2, snapshot_grace_seconds=900)
        ctx = replace(plain, channels={"kept": notices.append})
        if step == "probe":
            with flaky.refusing("write"), pytest.raises(StoreRefused, match="EndpointConnectionError"):
                started(ctx)
            assert ctx.ledger.queries.job_of_run("dag/run") is None
        created = started(ctx, watched=True)
        with closing(Holder(ctx, created.job_id)) as holder:
            if step == "write":
                with flaky.refusing("write"):
                    assert work(ctx, created) != []
                    with pytest.raises(RelationsFailed, match="EndpointConnectionError"):
                        merge(ctx, created)
                assert holder.needed()  # it is handed to the grace
            assert work(ctx, created, attempt=2) == []
            refused = {"publish": "write", "read": "read"}.get(step)
            if refused:
                with flaky.refusing(refused), pytest.raises(StoreRefused, match="EndpointConnectionError"):
                    merge(ctx, created)
            if step in ("write", "publish", "read"):
                assert [notice.outcome for notice in notices] == ["failed"]
                assert "EndpointConnectionError" in notices[0].text
            if step in ("list", "remove"):
                key = ctx.key(ctx.ledger.queries.job(created.job_id))
                with ctx.store.writing(key, ctx.store.part(key, "labels", 0, 9)) as out:
                    out.write(b"of an attempt that does not count")
            with flaky.refusing(step) if step in ("list", "remove") else nullcontext():
                merged = merge(ctx, created, attempt=2)
            assert not holder.needed()
        job = ctx.ledger.queries.job(created.job_id)
        assert (job.state, job.snapshot_generation) == ("finished", 1)
        assert set(attempts(ctx, created).values()) <= ({1, 3} if step == "write" else {1})
        for name in (merged.uri, manifest_of(merged.uri)):
            (tmp_path / name.rpartition("/")[2]).write_bytes(ctx.store.open(name).read())
        environment.undisturbed.assert_same(tmp_path / ARCHIVE, 1)
        with psycopg.connect(environment.ledger_uri) as conn:
            conn.execute("DELETE FROM project_export_job WHERE id = %s", [job.id])  # its archive is in another store
    how = {
        "probe": "no job was made",
        "list": "files stay, the job is finished",
        "remove": "files stay, the job is finished",
    }
    happened(f"{step}: {how.get(step, 'failed with the error of the library, one notice; completed by a clear')}, SAME")
