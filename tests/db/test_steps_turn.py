"""How create waits for its turn: which runs get a row first, who is refused, and whose job is cancelled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from project_export.errors import AwaitsTurn, JobActive, ProjectNotFound
from project_export.ledger import Job
from project_export.request import Request
from project_export.steps import Context, Created, Notice, create, prune, request_export
from project_export.steps.turn import LONGEST_SECONDS, SHORTEST_SECONDS
from tests import runs


@pytest.fixture
def told() -> list[Notice]:
    return []


@pytest.fixture
def ctx(generated: str, ledger_dsn: str, tmp_path: Path, told: list[Notice]) -> Context:
    made = runs.context(generated, ledger_dsn, tmp_path / "store", units=1, exports_at_a_time=1)
    return replace(made, channels={"told": told.append})


def trigger(
    ctx: Context,
    run: str,
    if_running: str = "wait",
    *,
    project_id: int = 1,
    run_alive: Callable[[str], bool] = lambda _: True,
    **more: Any,
) -> Created:
    request = Request.from_params(
        {"project_id": project_id, "relations": ["labels"], "if_running": if_running}, ctx.tree
    )
    return create(ctx, request, run_id=f"dag/{run}", requested_by="jane", run_alive=run_alive, queued=True, **more)


def job_of(ctx: Context, run: str) -> Job:
    job = ctx.ledger.queries.job_of_run(f"dag/{run}")
    assert job is not None
    return job


def older(ledger_dsn: str, seconds: float) -> None:
    """Let nothing have been heard of any job for so many seconds."""
    shift = "make_interval(secs => %s)"
    jobs = f"UPDATE project_export_job SET created_at = created_at - {shift}, updated_at = updated_at - {shift}"  # noqa: S608
    with psycopg.connect(ledger_dsn) as conn:
        conn.execute(jobs.encode(), [seconds, seconds])
        conn.execute(f"UPDATE relation_export SET queued_at = queued_at - {shift}".encode(), [seconds])  # noqa: S608


def end(ctx: Context, created: Created) -> None:
    ctx.ledger.jobs.fail(created.job_id, [])


def test_a_run_that_waits_has_a_job_from_its_first_try_on_and_touches_no_source(ctx: Context) -> None:
    first = trigger(ctx, "first")
    assert job_of(ctx, "first").admitted_at is not None
    blind = replace(ctx, connect=no_source)
    with pytest.raises(
        AwaitsTurn, match=rf"waits for its turn: 1 export is before it, and job {first.job_id} of"
    ) as caught:
        trigger(blind, "second", last_try=True)
    assert caught.value.seconds == SHORTEST_SECONDS
    waits = job_of(ctx, "second")
    assert (waits.state, waits.waiting, waits.requested_by, waits.params["if_running"]) == (
        "queued",
        True,
        "jane",
        "wait",
    )
    end(ctx, first)
    created = trigger(ctx, "second")
    assert (created.job_id, ctx.ledger.queries.job(created.job_id).state) == (waits.id, "started")


@pytest.mark.parametrize("if_running", ["fail", "join"])
def test_the_limit_makes_runs_of_other_projects_wait_too(ctx: Context, if_running: str) -> None:
    first = trigger(ctx, "first", "fail")
    for _ in range(2):
        with pytest.raises(AwaitsTurn, match="1 export is before it"):
            trigger(ctx, "second", if_running, project_id=2)
    assert (job_of(ctx, "second").state, job_of(ctx, "second").waiting) == ("queued", False)
    end(ctx, first)
    created = trigger(ctx, "second", if_running, project_id=2)
    assert (created.job_id, created.joined, len(created.titles)) == (job_of(ctx, "second").id, False, 1)


def test_a_job_that_only_waits_neither_refuses_nor_is_joined(ctx: Context) -> None:
    other = trigger(ctx, "other", project_id=2)
    with pytest.raises(AwaitsTurn):
        trigger(ctx, "waits")
    with pytest.raises(AwaitsTurn, match="Job"):
        trigger(ctx, "joins", "join")
    with pytest.raises(JobActive, match="run dag/joins, queued since"):
        trigger(ctx, "fails", "fail")
    end(ctx, other)
    assert trigger(ctx, "joins", "join").titles
    with pytest.raises(AwaitsTurn, match=f"job {job_of(ctx, 'joins').id} of the same project"):
        trigger(ctx, "waits")


def test_a_job_of_the_page_waits_for_the_limit_whatever_its_run_asks(ctx: Context) -> None:
    first = trigger(ctx, "first", project_id=2)
    request = Request.from_params({"project_id": 1, "relations": ["labels"]}, ctx.tree)
    job = request_export(ctx, request, run_id="dag/page", requested_by="jane", run_alive=lambda _: True)
    with pytest.raises(AwaitsTurn, match="1 export is before it"):
        trigger(ctx, "page", "fail")
    end(ctx, first)
    assert trigger(ctx, "page", "fail").job_id == job.id


def test_jobs_whose_run_is_gone_keep_nobody_waiting(ctx: Context, ledger_dsn: str, told: list[Notice]) -> None:
    trigger(ctx, "gone")
    for run in ("gone-too", "next"):
        with pytest.raises(AwaitsTurn):
            trigger(ctx, run)
    with pytest.raises(AwaitsTurn):
        trigger(ctx, "other", project_id=2, run_alive=lambda _: False)  # something was heard of the first one
    older(ledger_dsn, 61)
    created = trigger(ctx, "next", run_alive=lambda name: "gone" not in name)
    assert job_of(ctx, "next").id == created.job_id
    assert [job_of(ctx, run).outcome for run in ("gone", "gone-too")] == ["cancelled", "cancelled"]
    assert [notice.outcome for notice in told] == ["cancelled", "cancelled"]
    older(ledger_dsn, 61)
    assert trigger(ctx, "other", project_id=2, run_alive=lambda name: name == "dag/other").titles
    assert job_of(ctx, "next").outcome == "cancelled"


def test_prune_cancels_a_job_that_waits_for_its_turn_without_a_run(ctx: Context, ledger_dsn: str) -> None:
    trigger(ctx, "first")
    with pytest.raises(AwaitsTurn):
        trigger(ctx, "second")
    older(ledger_dsn, 61)
    assert prune(ctx, lambda name: name == "dag/first").cancelled == 1
    assert (job_of(ctx, "second").outcome, job_of(ctx, "second").waiting) == ("cancelled", False)


def test_a_job_that_fails_at_its_first_try_ends_and_can_be_queued_again(ctx: Context, told: list[Notice]) -> None:
    with pytest.raises(ProjectNotFound):
        trigger(ctx, "run", project_id=4711)
    assert job_of(ctx, "run").outcome == "failed"
    assert [notice.outcome for notice in told] == ["failed"]
    with pytest.raises(ProjectNotFound):
        trigger(ctx, "run", project_id=4711)
    assert len(told) == 2


def test_a_cleared_run_continues_at_once_even_if_others_wait(ctx: Context) -> None:
    first = trigger(ctx, "first")
    end(ctx, first)
    second = trigger(ctx, "second", project_id=2)
    assert trigger(ctx, "first").job_id == first.job_id
    assert {ctx.ledger.queries.job(one.job_id).state for one in (first, second)} == {"started"}


def test_who_is_far_from_its_turn_asks_less_often(ctx: Context) -> None:
    trigger(ctx, "run-0")
    seconds = []
    for number in range(1, 121):
        with pytest.raises(AwaitsTurn) as caught:
            trigger(ctx, f"run-{number}", project_id=number + 1)
        seconds.append(caught.value.seconds)
    assert (seconds[0], seconds[-1]) == (SHORTEST_SECONDS, LONGEST_SECONDS)
    assert seconds == sorted(seconds)


def no_source() -> None:
    raise AssertionError("the source was asked")
