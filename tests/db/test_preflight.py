"""Everything that is missing for an export is said at once, by the check and by create."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg.sql import SQL, Identifier
from typer.testing import CliRunner

from project_export.cli import app
from project_export.errors import NotReady, SettingMissing, SourceBusy, SourceRefused
from project_export.ledger import Ledger, make_engine
from project_export.steps import Context, preflight
from tests.runs import context, files, started

Make = Callable[..., Context]
VERSION = ["--gitlab-version", "18.6.0", "--gitlab-revision", "0123456789a"]
DOWN = "postgresql://jane:s3cret@127.0.0.1:1/x"


@pytest.fixture
def make(generated: str, ledger_dsn: str, tmp_path: Path) -> Make:
    """Return a context on the generated sample; settings may be changed."""
    return lambda **settings: context(generated, ledger_dsn, tmp_path / "store", **settings)


def wrong(ctx: Context, project_id: int | None = None) -> dict[str, str]:
    return {one.check: str(one.error) for one in preflight(ctx, project_id) if one.error}


def skipped(ctx: Context) -> dict[str, str]:
    return {one.check: one.needs for one in preflight(ctx, 1) if one.needs}


def test_where_all_is_there_every_check_is_well_and_nothing_is_left_behind(make: Make, tmp_path: Path) -> None:
    found = list(preflight(make(), 1))
    assert len(found) == 12
    assert not [one for one in found if one.error or one.needs]
    assert files(tmp_path) == []


def test_all_that_is_missing_is_found_at_once(make: Make, generated: str, tmp_path: Path, role: str) -> None:
    (tmp_path / "file").write_text("")
    ctx = make(store=f"file://{tmp_path}/file/exports", gitlab_version="", gitlab_revision="")
    no_ledger = Ledger(make_engine(generated))
    ctx = replace(ctx, ledger=no_ledger, connect=lambda: psycopg.connect(generated, options=f"-c role={role}"))
    found = wrong(ctx, 1)
    no_ledger.close()
    assert set(found) == {"setting gitlab_version", "setting gitlab_revision", "ledger", "store", "privileges"}
    assert "Run: project-export ledger upgrade" in found["ledger"]
    assert "ENOTDIR" in found["store"]
    assert "projects, " in found["privileges"]
    assert "tree grants" in found["privileges"]


def test_of_a_table_that_can_be_read_in_part_the_columns_are_named(role: str, make: Make, generated_copy: str) -> None:
    with psycopg.connect(generated_copy) as conn:
        for statement in (
            "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}",
            "REVOKE SELECT ON boards, labels FROM {}",
            "GRANT SELECT (id, project_id) ON boards TO {}",
        ):
            conn.execute(SQL(statement).format(Identifier(role)))
    ctx = replace(make(), connect=lambda: psycopg.connect(generated_copy, options=f"-c role={role}"))
    found = wrong(ctx, 1)
    assert set(found) == {"privileges"}
    assert "may not read 2 table(s), or columns of them: boards (created_at, " in found["privileges"]
    assert "), labels. Run" in found["privileges"]


def test_what_depends_on_a_failed_check_says_so(make: Make) -> None:
    ctx = replace(make(), connect=lambda: psycopg.connect("host=127.0.0.1 port=1 dbname=x"))
    assert skipped(ctx) == dict.fromkeys(("tables", "privileges", "hidden rows", "project"), "source")
    assert skipped(make(store="")) == {"store": "setting store"}


def test_tables_are_not_judged_by_a_version_that_is_not_set(make: Make, generated_copy: str) -> None:
    with psycopg.connect(generated_copy) as conn:
        conn.execute("ALTER TABLE issues RENAME project_id TO the_project")
    source = {"connect": lambda: psycopg.connect(generated_copy)}
    assert "issues.project_id" in wrong(replace(make(), **source))["tables"]
    assert skipped(replace(make(gitlab_version=""), **source))["tables"] == "setting gitlab_version"


def test_hidden_rows_and_an_unknown_project_are_found(role: str, make: Make, generated_copy: str) -> None:
    with psycopg.connect(generated_copy) as conn:
        conn.execute(SQL("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}").format(Identifier(role)))
        conn.execute("ALTER TABLE labels ENABLE ROW LEVEL SECURITY")
    ctx = replace(make(), connect=lambda: psycopg.connect(generated_copy, options=f"-c role={role}"))
    found = wrong(ctx, 4711)
    assert set(found) == {"hidden rows", "project"}
    assert "row policies of public.labels apply" in found["hidden rows"]


# Create


def test_create_lists_all_that_is_missing_in_one_error_and_writes_no_job(make: Make, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ctx = make(store=f"file://{tmp_path}/file/exports", gitlab_revision="")
    ctx = replace(ctx, connect=lambda: psycopg.connect("host=127.0.0.1 port=1 dbname=x"))
    with pytest.raises(NotReady) as caught:
        started(ctx)
    lines = str(caught.value).splitlines()
    assert lines[0] == "3 things are missing for an export:"
    assert [line.partition(":")[0].strip() for line in lines[1:] if line[2].isalpha()] == [
        "setting gitlab_revision",
        "store",
        "source",
    ]
    assert ctx.ledger.queries.jobs() == []


def test_one_thing_that_is_missing_has_its_own_error(make: Make, generated: str, role: str) -> None:
    with pytest.raises(SettingMissing):
        started(make(gitlab_revision=""))
    with pytest.raises(SourceRefused, match="permission denied"):
        started(replace(make(), connect=lambda: psycopg.connect(generated, options=f"-c role={role}")))


def test_what_may_pass_by_itself_stays_worth_a_retry(make: Make, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ctx = replace(make(), connect=lambda: psycopg.connect("host=127.0.0.1 port=1 dbname=x"))
    with pytest.raises(SourceBusy):
        started(ctx)


# The command


def check(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["check", *arguments])
    assert "Traceback" not in done.output
    assert "s3cret" not in done.output
    return done.exit_code, done.stdout


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STORE", "GITLAB_VERSION", "GITLAB_REVISION"):
        monkeypatch.delenv(f"PROJECT_EXPORT_{name}", raising=False)


def test_the_command_says_ok_for_each_and_makes_no_folder(generated: str, tmp_path: Path) -> None:
    code, said = check("--source", generated, "--out", str(tmp_path / "a" / "out"), "--project-id", "1", *VERSION)
    assert (code, said.splitlines()[-1]) == (0, "everything is there")
    assert {line[:6] for line in said.splitlines()[:-1]} == {"ok    "}
    assert list(tmp_path.iterdir()) == []


def test_the_command_lists_everything_a_beginner_has_not_done() -> None:
    code, said = check()
    marked = {line[6:].partition(":")[0] for line in said.splitlines() if line.startswith("WRONG ")}
    settings = {f"setting {name}" for name in ("store", "gitlab_version", "gitlab_revision")}
    assert (code, marked) == (1, {"ledger", "source", *settings})
    assert said.splitlines()[-1] == "5 problem(s) would prevent an export"


def test_the_command_names_databases_that_do_not_answer(tmp_path: Path) -> None:
    code, said = check("--source", DOWN, "--ledger", DOWN, "--out", str(tmp_path), *VERSION)
    assert code == 1
    assert "WRONG ledger: The ledger's database did not answer" in said
    assert "WRONG source: " in said
    assert "-     tables: not checked, because it needs: source" in said


@pytest.mark.parametrize("option", ["--source", "--ledger"])
def test_a_dsn_that_cannot_be_read_is_not_repeated(option: str) -> None:
    assert check(option, "host=db password=very s3cret")[0] in (1, 2)


def test_a_store_with_a_connection_is_left_to_create_and_is_wrong_in_a_shell(
    generated: str, ledger_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROJECT_EXPORT_STORE", "s3://results@exports")
    monkeypatch.setattr("project_export.airflow.health.findings", lambda _: iter(()))
    code, said = check("--airflow", "--source", generated, "--project-id", "1", *VERSION)
    assert (code, "ok    store" in said) == (0, False)
    code, said = check("--source", generated, "--ledger", ledger_dsn, *VERSION)
    assert code == 1
    assert "WRONG store: PROJECT_EXPORT_STORE names the connection 'results'" in said
