"""The watch judges what workers cannot report: who ended, who is silent, and when nobody works on an export."""

from __future__ import annotations

import logging
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import update

from project_export.errors import RelationsFailed
from project_export.ledger import Beat
from project_export.ledger.columns import clock
from project_export.ledger.models import RelationExport
from project_export.steps import Context, Silence, watch
from project_export.steps.process import Process
from project_export.steps.watch import give_up
from tests.runs import (
    RUN,
    Make,
    assert_same,
    merge,
    path_of,
    started,
    wait_until,
    work,
)
from tests.workers import die, row

ONE = ("labels",)


def test_the_watch_waits_while_a_unit_works(make: Make) -> None:
    ctx = make(units=1)
    created = started(ctx, *ONE)
    die(ctx, created)
    progress, over = watch(ctx, created.job_id, {})
    assert (progress.started, progress.queued, over) == (1, 1, False)


def test_the_watch_is_over_when_nothing_is_pending(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    ctx = make(units=1)
    created = started(ctx, *ONE)
    work(ctx, created)
    with caplog.at_level(logging.INFO):
        progress, over = watch(ctx, created.job_id, {})
    assert (progress.finished, progress.total, over) == (2, 2, True)
    assert "2 of 2 finished, 0 running, 0 queued, 0 failed" in caplog.text


def test_the_rows_of_an_ended_unit_are_queued_again_with_the_reason(make: Make) -> None:
    ctx = make(units=2)
    created = started(ctx, *ONE)
    relation = die(ctx, created, unit=1)
    progress, over = watch(ctx, created.job_id, {1: "failed"})
    assert (progress.queued, over) == (2, False)
    assert "the task of its worker 1 ended as failed" in str(row(ctx, created, relation).error)


def test_the_watch_is_over_when_no_unit_is_left_and_the_merge_does_the_rest(make: Make, generated: str) -> None:
    ctx = make(units=2)
    created = started(ctx, *ONE)
    die(ctx, created, unit=1)
    progress, over = watch(ctx, created.job_id, {0: "success", 1: "failed"})
    assert (progress.queued, over) == (2, True)
    assert_same(path_of(merge(ctx, created)), generated, 1, *ONE)


def test_a_row_without_a_sign_of_life_is_hung_and_its_attempt_revoked(make: Make) -> None:
    ctx = make(units=1, hung_seconds=0.05)
    created = started(ctx, *ONE)
    relation = die(ctx, created)
    wait_until(lambda: watch(ctx, created.job_id, {})[0].queued == 2)
    assert str(row(ctx, created, relation).error).startswith("no sign of life for 0 s; the attempt was revoked")
    assert row(ctx, created, relation).deaths == 1


def test_a_gap_that_the_watcher_shares_is_no_proof_of_a_death(make: Make) -> None:
    ctx = make(units=1, hung_seconds=0.4, heartbeat_seconds=0.05)
    created = started(ctx, *ONE)
    claim = ctx.ledger.claims.claim(created.job_id, 0, f"{RUN}/0/1 {Process.this()}")
    assert claim is not None
    wait_until(lambda: ctx.ledger.watch.stale(created.job_id, 0.4))  # nobody could write, and nobody could look
    silence = Silence(ctx.settings)
    watch(ctx, created.job_id, {}, silence)
    assert silence
    assert ctx.ledger.claims.beat([Beat(claim.row_id, claim.attempt, 1, 2)]) == set()
    watch(ctx, created.job_id, {}, silence)
    assert not silence
    assert row(ctx, created, claim.relation).state == "started"


def test_a_row_that_stays_silent_under_the_eyes_of_a_watcher_is_hung(make: Make) -> None:
    ctx = make(units=1, hung_seconds=0.4, heartbeat_seconds=0.05)
    created = started(ctx, *ONE)
    relation = die(ctx, created)
    wait_until(lambda: ctx.ledger.watch.stale(created.job_id, 0.4))
    silence = Silence(ctx.settings)
    assert silence.seconds == pytest.approx(0.2)
    assert watch(ctx, created.job_id, {}, silence)[0].started == 1
    wait_until(lambda: watch(ctx, created.job_id, {}, silence)[0].queued == 2)
    assert row(ctx, created, relation).deaths == 1


def test_a_process_that_gives_signs_for_another_row_is_not_killed(make: Make) -> None:
    ctx = make(units=1, hung_seconds=60)
    created = started(ctx, *ONE)
    living = subprocess.Popen(["sleep", "60"])
    try:
        owner = f"{RUN}/0/1 {replace(Process.this(), pid=living.pid, born=process_born(living.pid))}"
        lost, held = (ctx.ledger.claims.claim(created.job_id, 0, owner) for _ in range(2))
        assert lost is not None
        assert held is not None
        hour_ago(ctx, lost.row_id)
        progress, _ = watch(ctx, created.job_id, {})
        assert (progress.queued, progress.started) == (1, 1)
        assert living.poll() is None
    finally:
        living.kill()
        living.wait()


def hour_ago(ctx: Context, row_id: int) -> None:
    """Let the last sign of life of a row be an hour old."""
    with ctx.ledger._database.write() as connection:
        connection.execute(update(RelationExport).where(RelationExport.id == row_id).values(heartbeat_at=clock(-3600)))


def test_a_frozen_process_of_this_machine_is_killed_and_named(make: Make) -> None:
    ctx = make(units=1, hung_seconds=0.05)
    created = started(ctx, *ONE)
    frozen = subprocess.Popen(["sleep", "60"])
    frozen.send_signal(signal.SIGSTOP)
    try:
        process = replace(Process.this(), pid=frozen.pid, born=process_born(frozen.pid))
        claim = ctx.ledger.claims.claim(created.job_id, 0, f"{RUN}/0/1 {process}")
        assert claim is not None
        wait_until(lambda: watch(ctx, created.job_id, {})[0].queued == 2)
        assert frozen.wait(10) == -signal.SIGKILL
    finally:
        frozen.kill()
    said = f"from process {frozen.pid} on {process.host}, which was killed; the attempt was revoked"
    assert said in str(row(ctx, created, claim.relation).error)


@pytest.mark.parametrize("other", [{"host": "another-machine"}, {"born": "1"}, {"born": ""}])
def test_a_process_that_may_be_another_is_not_killed_but_named(make: Make, other: dict[str, str]) -> None:
    ctx = make(units=1, hung_seconds=0.05)
    created = started(ctx, *ONE)
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        process = replace(Process.this(), pid=bystander.pid, born=process_born(bystander.pid))
        claim = ctx.ledger.claims.claim(created.job_id, 0, f"{RUN}/0/1 {replace(process, **other)}")
        assert claim is not None
        wait_until(lambda: watch(ctx, created.job_id, {})[0].queued == 2)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
    assert f"process {bystander.pid} on " in str(row(ctx, created, claim.relation).error)
    assert "end it: kill -9" in str(row(ctx, created, claim.relation).error)


def test_an_export_that_nobody_works_on_ends_with_the_reason_and_a_clear_exports_it(make: Make, generated: str) -> None:
    ctx = make(units=2, slot_wait_seconds=0.05)
    created = started(ctx, *ONE)
    wait_until(lambda: give_up(ctx, created.job_id, "no slot of the pool 'p' for 900 s"))
    with pytest.raises(RelationsFailed) as caught:
        merge(ctx, created)
    assert [(failure.relation, failure.message) for failure in caught.value.failures] == [
        ("project", "no slot of the pool 'p' for 900 s"),
        ("*", "1 other relation(s) or part(s) were cancelled"),
    ]
    assert ctx.ledger.queries.job(created.job_id).state == "failed"
    assert_same(path_of(merge(ctx, created, attempt=2)), generated, 1, *ONE)


def test_an_export_waits_on_while_others_are_worked_on(make: Make) -> None:
    ctx = make(units=2)
    created = started(ctx, *ONE)
    assert not give_up(ctx, created.job_id, "no slot")
    assert ctx.ledger.queries.progress(created.job_id).queued == 2


def process_born(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
