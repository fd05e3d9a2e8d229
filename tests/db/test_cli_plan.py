"""`project-export plan` on databases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from project_export.cli import app
from tests.runs import backends, context, started, wait_until


def plan(source: str, *words: str, project_id: int = 1) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["plan", "--project-id", str(project_id), "--source", source, *words])
    return result.exit_code, result.stdout, result.stderr


def described(source: str, *words: str) -> dict[str, Any]:
    code, out, err = plan(source, "--json", *words)
    assert code == 0, err
    return dict(json.loads(out))


@pytest.fixture
def small_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROJECT_EXPORT_UNIT_COST", "1")
    monkeypatch.setenv("PROJECT_EXPORT_PART_ROWS", "3")


@pytest.mark.usefixtures("small_costs")
def test_the_table_says_what_each_relation_costs_and_who_begins_with_it(generated: str) -> None:
    code, out, err = plan(generated, "--relations", "issues,labels", "--units", "2")
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines() if line.strip()]
    assert lines[0] == ["relation", "records", "bytes", "cost", "parts", "workers"]
    issues = next(line for line in lines if line[0] == "issues")
    assert int(issues[4]) > 1
    assert issues[5:] == ["0,", "1"]
    assert [line[1] + line[3] + line[4] for line in lines if line[0] == "project"] == ["111"]
    assert any("issues (" in line and "parts)" in line for line in out.splitlines())
    assert lines[-1][-2:] == ["2", "worker(s)"]


@pytest.mark.usefixtures("small_costs")
def test_the_plan_is_that_of_create(generated: str, ledger_dsn: str, tmp_path: Path) -> None:
    said = described(generated, "--units", "3")
    ctx = context(generated, ledger_dsn, tmp_path, units=3, unit_cost=1, part_rows=3)
    created = started(ctx)
    rows = ctx.ledger.queries.rows(created.job_id)
    assert tuple(unit["begins_with"] for unit in said["units"]) == created.titles
    for its in said["relations"]:
        own = [row for row in rows if row.relation == its["relation"]]
        assert (its["parts"], its["cost"]) == (len(own), sum(row.estimate for row in own))
        assert its["units"] == sorted({row.unit for row in own})
    assert sum(its["parts"] for its in said["relations"]) == len(rows)
    ctx.ledger.close()


@pytest.mark.usefixtures("small_costs")
def test_without_a_common_snapshot_nothing_is_split(generated: str) -> None:
    assert {its["parts"] for its in described(generated, "--consistency", "relation")["relations"]} == {1}


def test_a_small_project_is_one_unit(generated: str) -> None:
    assert len(described(generated)["units"]) == 1


def test_no_session_is_left(generated: str) -> None:
    described(generated)
    wait_until(lambda: backends(generated) == [])


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--relations", "lables"], 2, "relation lables is unknown; nearest: labels"),
        (["--consistency", "none"], 2, "consistency must be relation or project"),
        (["--tree", "nowhere"], 1, "valid: gitlab"),
    ],
)
def test_a_mistake_is_told_as_elsewhere(generated: str, words: list[str], code: int, said: str) -> None:
    ended, out, err = plan(generated, *words)
    assert (ended, out) == (code, "")
    assert said in err


def test_an_unknown_project_and_database_are_told(generated: str) -> None:
    assert plan(generated, project_id=999) == (
        1,
        "",
        "error: project 999 is not in projects of the source; nothing was exported\n",
    )
    code, _, err = plan(f"{generated}x")
    assert code == 1
    assert "does not exist" in err


def test_a_dsn_that_cannot_be_read_is_refused_without_being_repeated() -> None:
    code, _, err = plan("host=db password=pass word")
    assert code == 2
    assert "neither a libpq URI nor a keyword string" in err
    assert '"word"' not in err
