"""Create checks everything that the export will need, before it writes a job."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from project_export import ledger
from project_export.errors import (
    BadRequest,
    JobActive,
    LedgerOutdated,
    MoveRefused,
    ProjectNotFound,
    SettingMissing,
    SourceBusy,
    SourceChanged,
    SourceRefused,
    StoreRefused,
    TreeError,
)
from project_export.request import Request
from project_export.steps import Context, Created, create
from project_export.tree import load
from tests.runs import context, merge, started, work

Make = Callable[..., Context]


@pytest.fixture
def make(generated: str, ledger_dsn: str, tmp_path: Path) -> Make:
    """Return a context on the generated sample; settings may be changed."""
    return lambda **settings: context(generated, ledger_dsn, tmp_path / "store", **settings)


def rows_of(ctx: Context, created: Created) -> list[tuple[str, int, int]]:
    return [(row.relation, row.part, row.parts) for row in ctx.ledger.queries.rows(created.job_id)]


def no_job(ctx: Context) -> bool:
    queries = ctx.ledger.queries
    return queries.active_job("source", "gitlab", 1) is None and queries.job_of_run("dag/run") is None


# The request


@pytest.mark.parametrize("project_id", [0, -3, 1 << 63])
def test_a_project_id_out_of_range_is_refused(project_id: int) -> None:
    with pytest.raises(BadRequest, match=rf"^project_id must be positive and fit into 64 bits; got {project_id}$"):
        Request.from_params({"project_id": project_id}, load("gitlab"))


@pytest.mark.parametrize("project_id", ["x", "1", None, 1.0, True, "1; DROP TABLE projects"])
def test_a_project_id_that_is_not_an_integer_is_refused_as_it_was_given(project_id: Any) -> None:
    with pytest.raises(BadRequest, match=f"^{re.escape(f'project_id must be an integer; got {project_id!r}')}$"):
        Request.from_params({"project_id": project_id}, load("gitlab"))


def test_a_request_without_a_project_id_is_refused() -> None:
    with pytest.raises(BadRequest, match=r"^project_id must be an integer; got None$"):
        Request.from_params({}, load("gitlab"))


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"projectid": 1}, "parameter projectid is unknown; nearest: project_id"),
        ({"relations": ["isues"]}, "relation isues is unknown; nearest: issues"),
        ({"relations": ["notes"]}, "relation notes is unknown; "),
        ({"relations": "issues"}, "relations must be a list of names; got 'issues'"),
        ({"relations": 5}, "relations must be a list of names; got 5"),
        ({"relations": {"issues": 1}}, "relations must be a list of names"),
        ({"relations": [1]}, "relations must be a list of names"),
        ({"description": 5}, "description must be a string; got 5"),
        ({"description": "a\0b"}, "description must be a string without NUL"),
        ({"description": "a\ud800b"}, "description must be a string without NUL"),
        ({"consistency": "none"}, "consistency must be relation or project; got 'none'"),
        ({"mode": "delta"}, "mode must be one of full, changes; got 'delta'"),
        ({"mode": "changes"}, "mode=changes needs window_start and window_end"),
        ({"window_end": "2026-11-28T00:00:00Z"}, "window_start and window_end are for mode=changes only"),
        ({"mode": "changes", "window_start": "yesterday", "window_end": "2026-11-28"}, "window_start must be a time"),
        ({"mode": "changes", "window_start": "2026-11-28T00:00:00"}, "with its zone"),
        (
            {"mode": "changes", "window_start": "2026-11-28T01:00:00+01:00", "window_end": "2026-11-28T00:00:00Z"},
            "window_start must be before window_end",
        ),
    ],
)
def test_a_wrong_parameter_is_refused_with_what_is_valid(params: dict[str, Any], said: str) -> None:
    with pytest.raises(BadRequest) as caught:
        Request.from_params({"project_id": 1, **params}, load("gitlab"))
    assert said in str(caught.value)


def test_empty_parameters_are_defaults() -> None:
    tree = load("gitlab")
    empty = {"project_id": 1, "relations": [], "description": "", "consistency": None}
    assert Request.from_params(empty, tree) == Request.from_params({"project_id": 1}, tree)
    assert Request.from_params(empty, tree) == Request(1, parameters={"description": None})
    twice = {"project_id": 1, "relations": ["labels", "issues", "labels"]}
    assert Request.from_params(twice, tree).relations == ("labels", "issues")


# What is written


def test_a_job_has_a_row_for_every_relation_and_keeps_who_asked(make: Make) -> None:
    ctx = make()
    created = started(ctx, description="before the move")
    job = ctx.ledger.queries.job(created.job_id)
    assert [row[0] for row in rows_of(ctx, created)] == list(ctx.tree.exported)
    assert (job.state, job.requested_by, job.run_id, job.project_id) == ("started", "jane", "dag/run", 1)
    assert (job.params["description"], job.consistency, job.tree) == ("before the move", "project", "gitlab")
    assert len(created.titles) == 3
    assert created.shared


def test_the_root_is_exported_with_the_relations_that_were_asked_for(make: Make) -> None:
    ctx = make()
    assert [name for name, *_ in rows_of(ctx, started(ctx, "labels", "issues"))] == ["project", "labels", "issues"]


def test_big_relations_are_split_where_they_share_a_snapshot(make: Make) -> None:
    ctx = make(part_rows=7)
    assert ("issues", 0, 3) in rows_of(ctx, started(ctx, "issues"))
    alone = started(ctx, "issues", project_id=2, consistency="relation", run_id="other")
    assert ("issues", 0, 1) in rows_of(ctx, alone)
    assert not alone.shared


def test_what_may_be_absent_and_is_is_logged(
    generated_copy: str, ledger_dsn: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with psycopg.connect(generated_copy) as conn:
        conn.execute("ALTER TABLE issues DROP COLUMN description")
        conn.execute("DROP TABLE sentry_issues CASCADE")
    with caplog.at_level(logging.WARNING):
        started(context(generated_copy, ledger_dsn, tmp_path, allow_absent="issues.description, sentry_issues"))
    assert "issues.description: left out, the source has no issues.description" in caplog.text
    assert "issues.sentry_issue: left out, the source has no table sentry_issues" in caplog.text


# Refusals leave nothing behind


@pytest.mark.parametrize("setting", ["store", "gitlab_version", "gitlab_revision"])
def test_a_missing_setting_is_named(make: Make, setting: str) -> None:
    ctx = make(**{setting: ""})
    with pytest.raises(SettingMissing, match=f"PROJECT_EXPORT_{setting.upper()} is not set"):
        started(ctx)
    assert no_job(ctx)


def test_a_ledger_that_is_not_migrated_is_refused(make: Make, database: str) -> None:
    engine = ledger.make_engine(database)
    ctx = replace(make(), ledger=ledger.Ledger(engine))
    with pytest.raises(LedgerOutdated):
        started(ctx)
    engine.dispose()


def test_a_store_that_cannot_be_written_is_refused_with_path_and_errno(make: Make, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ctx = make(store=f"file://{tmp_path}/file/exports")
    with pytest.raises(StoreRefused, match=f"{tmp_path}/file/exports.*ENOTDIR"):
        started(ctx)
    assert no_job(ctx)


def test_an_unknown_project_is_refused(make: Make) -> None:
    ctx = make()
    with pytest.raises(ProjectNotFound, match="project 4711 is not in projects of the source"):
        started(ctx, project_id=4711)
    assert no_job(ctx)


def test_a_source_that_is_down_is_worth_a_retry(make: Make) -> None:
    ctx = replace(make(), connect=lambda: psycopg.connect("host=127.0.0.1 port=1 dbname=x"))
    with pytest.raises(SourceBusy):
        started(ctx)
    assert no_job(ctx)


def test_a_tree_with_a_misspelt_column_is_refused_before_any_row_is_read(make: Make, tmp_path: Path) -> None:
    tree = Path(load("gitlab").file)
    text = tree.read_text("utf-8")
    for schema in ("gitlab-columns.tsv", "gitlab-paid.tsv", "gitlab-layouts.tsv"):
        text = text.replace(schema, str(tree.parent / schema))
    assert "keys: [name, user_id, awardable_type" in text
    (tmp_path / "tree.yaml").write_text(text.replace("keys: [name, user_id, awardable_type", "keys: [name, usr_id"))
    ctx = make(tree=str(tmp_path / "tree.yaml"))
    with pytest.raises(TreeError, match=r"tree\.yaml:\d+: table award_emoji has no column usr_id; nearest: user_id"):
        started(ctx)
    assert no_job(ctx)


def test_a_source_without_a_join_column_is_refused(generated_copy: str, ledger_dsn: str, tmp_path: Path) -> None:
    with psycopg.connect(generated_copy) as conn:
        conn.execute("ALTER TABLE issues RENAME project_id TO the_project")
    ctx = context(generated_copy, ledger_dsn, tmp_path)
    with pytest.raises(SourceChanged, match=r"issues needs issues\.project_id for join"):
        started(ctx)
    assert no_job(ctx)


def test_another_database_than_gitlabs_is_refused(make: Make, server: Any) -> None:
    ctx = replace(make(), connect=lambda: psycopg.connect(server.uri()))
    with pytest.raises(SourceChanged, match="no table projects, the root of the tree"):
        started(ctx)


def test_a_table_without_a_privilege_is_named(make: Make, generated: str, role: str) -> None:
    ctx = replace(make(), connect=lambda: psycopg.connect(generated, options=f"-c role={role}"))
    with pytest.raises(SourceRefused, match="permission denied for table projects"):
        started(ctx)


# One active job


def test_a_second_job_of_a_project_is_refused_and_the_running_one_is_named(make: Make) -> None:
    ctx = make()
    started(ctx, "labels")
    with pytest.raises(JobActive, match=r"run dag/run, started since .* requested by jane"):
        started(ctx, "labels", run_id="dag/other")
    assert started(ctx, "labels", project_id=2, run_id="dag/other").job_id
    assert ctx.ledger.queries.job_of_run("dag/other") is not None


def test_a_job_whose_run_is_gone_is_failed_and_its_place_taken(make: Make) -> None:
    ctx = make()
    first = started(ctx, "labels")
    asked: list[str] = []
    second = create(
        ctx,
        Request(1, ("labels",)),
        run_id="dag/next",
        requested_by="joe",
        run_alive=lambda run: bool(asked.append(run)),
    )
    old = ctx.ledger.queries.job(first.job_id)
    assert asked == ["dag/run"]
    assert (old.state, old.errors[0].message) == ("failed", "run dag/run was cancelled or is gone")
    assert ctx.ledger.queries.job(second.job_id).state == "started"


def test_create_for_the_same_run_takes_its_job_up(make: Make) -> None:
    ctx = make()
    first = started(ctx, "labels")
    assert started(ctx, "labels") == first
    ctx.ledger.jobs.fail(first.job_id, [])
    assert started(ctx, "labels") == first
    assert ctx.ledger.queries.job(first.job_id).state == "started"


@pytest.mark.parametrize("state", ["finished", "failed"])
def test_where_nothing_follows_an_ended_job_stays_as_it_is(make: Make, state: str) -> None:
    ctx = make(units=1)
    created = started(ctx, "labels")
    assert work(ctx, created) == []
    if state == "failed":
        ctx.ledger.jobs.fail(created.job_id, [])
    else:
        merge(ctx, created)
    before = (ctx.ledger.queries.job(created.job_id), ctx.ledger.queries.rows(created.job_id))
    assert alone(ctx, "dag/run") == created
    assert (ctx.ledger.queries.job(created.job_id), ctx.ledger.queries.rows(created.job_id)) == before
    assert before[0].state == state


def test_where_nothing_follows_no_job_is_created(make: Make) -> None:
    ctx = make()
    with pytest.raises(MoveRefused, match=r"nothing would work on it.*clear the tasks after it as well"):
        alone(ctx, "dag/run")
    assert ctx.ledger.queries.job_of_run("dag/run") is None


def alone(ctx: Context, run_id: str) -> Created:
    """Create a job in a run of which nothing else will run."""
    request = Request(1, ("labels",))
    return create(ctx, request, run_id=run_id, requested_by="jane", run_alive=lambda _: True, followed=False)


def test_failed_relations_of_a_run_that_is_taken_up_are_queued_and_finished_ones_stay(make: Make) -> None:
    ctx = make(units=1)
    created = started(ctx, "labels", "issues", consistency="relation")
    claim = ctx.ledger.claims.claim(created.job_id, 0, "dag/run/0/1")
    assert claim is not None
    ctx.ledger.claims.fail_attempt(claim, "no", final=True)
    assert work(ctx, created) == []
    ctx.ledger.jobs.fail(created.job_id, [])
    started(ctx, "labels", "issues", consistency="relation")
    assert sorted(row.state for row in ctx.ledger.queries.rows(created.job_id)) == ["finished", "finished", "queued"]
    assert work(ctx, created, attempt=2) == []
    assert merge(ctx, created).records > 0
