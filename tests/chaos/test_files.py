"""Workers are killed, cancelled and revoked while they read large files and repositories."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.attic import Exported
from tests.chaos import victims
from tests.chaos.attics import GONE_SECONDS, MIB, FaultyAttic, SlowGit, large_repository
from tests.chaos.conftest import Happened
from tests.repositories import cloned, filled, refs
from tests.runs import attempts, held, merge, started, wait_until, work, worker

RUN = "dag/run"
UNITS = 4
GITS = ("pack-objects", "for-each-ref")
"""What hangs: the longest command for a bundle, and the first one."""


@pytest.fixture
def attic(database: str, ledger_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyAttic]:
    attic = FaultyAttic(database, ledger_dsn, tmp_path).settle(monkeypatch)
    yield attic
    attic.end()


@pytest.fixture
def slow_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SlowGit:
    git = SlowGit(tmp_path / "slow_git")
    monkeypatch.setenv("PATH", str(git.folder), prepend=":")
    return git


@pytest.mark.fault("F01", "worker killed -9 in the middle of 1 GiB of files")
@pytest.mark.timeout(600)
def test_of_many_large_files_only_the_part_of_the_killed_worker_is_read_again(
    attic: FaultyAttic, tmp_path: Path, happened: Happened
) -> None:
    filled(attic.shelves, "diary.git")
    attic.large("large", 600)
    for number in range(53):
        attic.large(f"number {number}", 8)
    with attic.surviving():
        ctx = attic.context(units=UNITS)
        created = started(ctx)
        rows = [row for row in ctx.ledger.queries.rows(created.job_id) if row.relation == "things"]
        assert len(rows) == 16
        with held(ctx, created):
            report = tmp_path / "report"
            victim = attic.process(victims.work_and_die_inside, created, RUN, "things", 512 * MIB, report)
            victim.join(200)
            assert victim.exitcode == -signal.SIGKILL
            killed = ctx.ledger.queries.rows(created.job_id, "started")
            finished = ctx.ledger.queries.rows(created.job_id, "finished")
            again = worker(ctx, created, attempt=2).run()
        assert [(row.relation, row.parts) for row in killed] == [("things", 16)]
        assert again.parts == len(ctx.ledger.queries.rows(created.job_id)) - len(finished)
        repeated = [row for row in ctx.ledger.queries.rows(created.job_id) if row.attempt > 1]
        assert [(row.id, row.attempt, row.deaths) for row in repeated] == [(killed[0].id, 2, 1)]
        merge(ctx, created)
    total = sum(row.raw_bytes for row in ctx.ledger.queries.rows(created.job_id) if row.relation == "things")
    happened(f"of {total >> 20} MiB in 16 parts, one of {repeated[0].raw_bytes >> 20} MiB was read twice, SAME")


@pytest.mark.fault("F01", "worker killed -9 in the middle of a bundle of 256 MiB")
@pytest.mark.timeout(600)
def test_a_bundle_is_read_again_as_a_whole_and_git_dies_with_the_worker(
    attic: FaultyAttic, tmp_path: Path, happened: Happened
) -> None:
    repository = large_repository(attic.shelves, "diary.git", 256)
    with attic.surviving(killed=True):
        ctx = attic.context(units=2)
        created = started(ctx)
        with held(ctx, created):
            report = tmp_path / "report"
            victim = attic.process(victims.work_and_die_inside, created, RUN, "diary", 128 * MIB, report)
            victim.join(200)
            ended = time.monotonic()
            assert victim.exitcode == -signal.SIGKILL
            assert report.read_text().split()
            wait_until(lambda: not any(psutil.pid_exists(int(pid)) for pid in report.read_text().split()), GONE_SECONDS)
            seconds = time.monotonic() - ended
            assert attic.gits() == []
            worker(ctx, created, attempt=2).run()
        assert {name for name, number in attempts(ctx, created).items() if number > 1} == {"diary"}
        exported = Exported(ctx, created.job_id, merge(ctx, created))
        assert cloned(exported.contents("diary.")["bundle"], tmp_path) == refs(repository)
    happened(f"git ended {seconds:.1f} s after its worker; the bundle alone was read twice, whole, SAME")


@pytest.mark.fault("F25", "worker cancelled while git hangs")
@pytest.mark.parametrize("command", GITS)
def test_a_worker_that_is_cancelled_ends_git_at_once(
    attic: FaultyAttic, slow_git: SlowGit, happened: Happened, command: str
) -> None:
    filled(attic.shelves, "diary.git")
    with attic.surviving():
        ctx = attic.context(units=2)
        created = started(ctx)
        with held(ctx, created):
            with slow_git.hanging(command):
                working = attic.process(victims.work_until_told, created, RUN, 0)
                wait_until(attic.gits)
                begun = time.monotonic()
                working.terminate()
                wait_until(lambda: not attic.gits(), GONE_SECONDS)
                working.join(GONE_SECONDS)
                seconds = time.monotonic() - begun
                assert working.exitcode == 0
                assert {row.relation for row in ctx.ledger.queries.rows(created.job_id, "queued")} >= {"diary"}
                assert ctx.ledger.queries.rows(created.job_id, "started") == []
            assert work(ctx, created, attempt=2) == []
        assert attempts(ctx, created)["diary"] == 2
        merge(ctx, created)
    happened(f"{command}: git and worker ended after {seconds:.1f} s; the next try SAME")


@pytest.mark.fault("F24", "attempt revoked while git hangs")
@pytest.mark.parametrize("command", GITS)
def test_an_attempt_that_is_revoked_ends_git_and_its_worker_goes_on(
    attic: FaultyAttic, slow_git: SlowGit, happened: Happened, command: str
) -> None:
    filled(attic.shelves, "diary.git")
    with attic.surviving():
        ctx = attic.context(units=2)
        created = started(ctx)
        with held(ctx, created):
            with slow_git.hanging(command):
                working = attic.process(victims.work_until_told, created, RUN, 0)
                (hung,) = wait_until(attic.gits)[:1]
                (row,) = (row for row in ctx.ledger.queries.rows(created.job_id, "started") if row.relation == "diary")
                begun = time.monotonic()
                ctx.ledger.claims.requeue({row.id: row.attempt}, "no sign of life")
                wait_until(lambda: not hung.is_running(), GONE_SECONDS)
                seconds = time.monotonic() - begun
            working.join(60)
            assert working.exitcode == 0
        assert attempts(ctx, created)["diary"] == 2
        merge(ctx, created)
    happened(f"{command}: git ended after {seconds:.1f} s, and the same worker read the repository again, SAME")


@pytest.mark.fault("F31", "git killed -9 (out of memory)")
def test_a_git_that_is_killed_fails_its_attempt_alone(
    attic: FaultyAttic, slow_git: SlowGit, happened: Happened
) -> None:
    filled(attic.shelves, "diary.git")
    with attic.surviving():
        ctx = attic.context(units=1)
        created = started(ctx)
        with slow_git.hanging("pack-objects"):
            working = attic.process(victims.work_unit, created, RUN)
            wait_until(attic.gits)
            (program,) = (one for one in attic.gits() if str(slow_git.folder / "git") in one.cmdline()[:2])
            program.kill()
            (row,) = wait_until(
                lambda: [row for row in ctx.ledger.queries.rows(created.job_id, "queued") if row.relation == "diary"]
            )
        assert row.error_code == "GitFailed"
        assert "git pack-objects was killed by signal 9: Killed. Was memory short?" in row.error
        working.join(60)
        assert working.exitcode == 0
        assert attempts(ctx, created)["diary"] == 2
        merge(ctx, created)
    happened("retried with the reason, SAME")
