"""Create enforces who may export which projects, by the name of the user who triggered the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from project_export.errors import JobActive, NotAllowed, ProjectNotFound, SettingRefused
from project_export.request import Request
from project_export.steps import Context, Created, create, request_export
from tests import runs

Make = Callable[[str], Context]


@pytest.fixture
def make(generated: str, ledger_dsn: str, tmp_path: Path) -> Make:
    """Return a context with these rules."""
    return lambda access: runs.context(generated, ledger_dsn, tmp_path / "store", access=access)


@pytest.fixture
def path(generated: str) -> str:
    """The path of project 1."""
    with psycopg.connect(generated) as conn:
        (found,) = conn.execute("SELECT path FROM routes WHERE source_type = 'Project' AND source_id = 1").fetchone()
    assert "/" in found
    return str(found)


def created(ctx: Context, user: str = "jane", run_id: str = runs.RUN, project_id: int = 1, **request: Any) -> Created:
    wanted = Request(project_id, ("labels",), **request)
    return create(ctx, wanted, run_id=run_id, requested_by=user, run_alive=lambda _: True)


def queued(ctx: Context, user: str = "jane") -> int:
    """Queue a job, as the page does for a user whose teams allow it."""
    wanted = Request(1, ("labels",))
    return request_export(ctx, wanted, run_id=runs.RUN, requested_by=user, run_alive=lambda _: True).id


def test_a_user_exports_what_a_rule_allows_by_path(make: Make, path: str) -> None:
    group = path.rpartition("/")[0]
    for number, rule in enumerate((path, path.upper(), f"{group}/*", f"nothing,{group.partition('/')[0]}/*")):
        ctx = make(f"jane={rule}")
        job = created(ctx, run_id=f"dag/{number}").job_id
        ctx.ledger.jobs.fail(job, [])


def test_a_user_exports_what_a_rule_allows_by_id_and_nothing_else(make: Make) -> None:
    ctx = make("jane=1")
    assert ctx.ledger.queries.job(created(ctx).job_id).state == "started"
    with pytest.raises(NotAllowed, match=r"^jane may not export project 2: no rule of PROJECT_EXPORT_ACCESS allows it"):
        created(ctx, run_id="dag/other", project_id=2)
    assert ctx.ledger.queries.job_of_run("dag/other") is None


def test_a_refusal_names_the_page_for_rules_of_teams_and_not_the_path(make: Make, path: str) -> None:
    with pytest.raises(NotAllowed, match="Rules for teams only apply on the page Project exports") as caught:
        created(make("team:data=*"), user="data")
    assert path not in str(caught.value)


def test_a_run_that_nobody_triggered_counts_as_a_user_with_the_name_of_its_type(make: Make) -> None:
    ctx = make("scheduled=*")
    assert created(ctx, user="scheduled").job_id
    with pytest.raises(NotAllowed, match=r"(?s)^backfill may not .*counts as a user with the name of its type"):
        created(ctx, user="backfill", run_id="dag/other", project_id=2)


def test_whether_a_project_exists_is_not_revealed(make: Make) -> None:
    ctx = make("jane=public/*; admin=*")
    with pytest.raises(NotAllowed, match=r"^jane may not export project 4711"):
        created(ctx, project_id=4711)
    with pytest.raises(ProjectNotFound):
        created(ctx, user="admin", project_id=4711)


def test_nobody_joins_the_export_of_a_project_that_they_may_not_export(make: Make) -> None:
    ctx = make("jane=1")
    created(ctx)
    with pytest.raises(NotAllowed):
        created(ctx, user="joe", run_id="dag/other", if_running="join")


def test_a_job_that_was_queued_for_the_user_is_accepted(make: Make) -> None:
    ctx = make("team:data=*")
    job_id = queued(ctx)
    assert created(ctx).job_id == job_id
    ctx.ledger.jobs.fail(job_id, [])
    assert created(ctx).job_id == job_id  # its run is cleared


@pytest.mark.parametrize("start", [False, True])
def test_the_job_of_another_user_is_not_accepted(make: Make, start: bool) -> None:
    """A run that was deleted may be triggered again under its old name, by somebody else."""
    ctx = make("team:data=*")
    job_id = queued(ctx)
    if start:
        created(ctx)
    with pytest.raises(NotAllowed, match=r"^joe may not"):
        created(ctx, user="joe")
    job = ctx.ledger.queries.job(job_id)
    if start:
        assert job.state == "started"
    else:
        assert (job.state, job.errors[0].code) == ("failed", "NotAllowed")


def test_rules_that_cannot_be_read_allow_nothing(make: Make) -> None:
    ctx = make("jane=*; joe")
    job_id = queued(ctx)
    with pytest.raises(SettingRefused, match="PROJECT_EXPORT_ACCESS cannot be used: the rule 'joe' has no ="):
        created(ctx)
    assert ctx.ledger.queries.job(job_id).state == "failed"


def test_a_rule_by_id_needs_no_answer_from_the_source(make: Make) -> None:
    ctx = make("jane=1")
    created(ctx)

    def asked() -> Any:
        raise AssertionError("the source was asked")

    with pytest.raises(JobActive):
        created(replace(ctx, connect=asked), run_id="dag/other")
