"""Data that the source has, or may have, and the archive lacks, are an outcome of their own, reported everywhere."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from project_export.cli import app
from project_export.errors import SourceChanged
from project_export.steps.notice import Notice
from tests.archives import read_archive
from tests.runs import NO_REPOSITORY, context, merge, path_of, started, work

LACKS = "issues.description: left out, the source has no issues.description; this was allowed"
UNKNOWN = "issues.health_status: a code without a name was exported as null (2 times)"


def change(database: str, *statements: str) -> None:
    with psycopg.connect(database) as conn:
        for statement in statements:
            conn.execute(statement)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("ALTER TABLE issues RENAME TO was_issues", "issues reads table issues, which the source does not have"),
        ("ALTER TABLE issues RENAME title TO was_title", "issues.title reads issues.title, which the source does not"),
    ],
)
def test_a_renamed_table_or_column_fails_before_a_row_is_read(generated_copy, ledger_dsn, tmp_path, statement, said):
    change(generated_copy, statement)
    with pytest.raises(SourceChanged, match=said):
        started(context(generated_copy, ledger_dsn, tmp_path))


def test_everything_that_is_absent_is_listed_with_its_line(generated_copy, ledger_dsn, tmp_path):
    change(generated_copy, "ALTER TABLE issues DROP title", "ALTER TABLE notes RENAME TO was_notes")
    with pytest.raises(SourceChanged) as caught:
        started(context(generated_copy, ledger_dsn, tmp_path))
    lines = [line for line in str(caught.value).splitlines() if "gitlab.yaml:" in line]
    assert {"issues.title", "issues.notes", "commit_notes", "merge_requests.notes"} <= {
        line.split(": ")[1].split(" ")[0] for line in lines
    }


def test_an_archive_without_omissions_has_none_anywhere(generated, generated_locations, ledger_dsn, tmp_path):
    ctx = context(generated, ledger_dsn, tmp_path, units=1, locations=generated_locations)
    created = started(ctx)
    assert work(ctx, created) == []
    merged = merge(ctx, created)
    manifest = json.loads(path_of(merged).with_name("project.manifest.json").read_text(encoding="utf-8"))
    assert (merged.omissions, manifest["omissions"]) == ((), [])
    job = ctx.ledger.queries.job(created.job_id)
    assert Notice.of(job, "finished", merged.omissions).subject == "Project was exported"


def test_omissions_are_at_the_top_of_the_manifest_and_in_the_notice(
    generated_copy, generated_locations, ledger_dsn, tmp_path
):
    change(
        generated_copy,
        "ALTER TABLE issues DROP description",
        "UPDATE issues SET health_status = 77 WHERE project_id = 1 AND iid <= 2",
    )
    ctx = context(
        generated_copy,
        ledger_dsn,
        tmp_path,
        units=1,
        allow_absent="issues.description",
        edition="ee",
        locations=generated_locations,
    )
    created = started(ctx)
    assert work(ctx, created) == []
    merged = merge(ctx, created)
    assert merged.omissions == (LACKS, UNKNOWN)
    text = path_of(merged).with_name("project.manifest.json").read_text(encoding="utf-8")
    assert text.startswith('{\n  "omissions": [\n    "issues.description: left out')
    notice = Notice.of(ctx.ledger.queries.job(created.job_id), "finished", merged.omissions)
    assert notice.subject == "Project was exported with omissions"
    assert LACKS in notice.text
    assert notice.facts["omissions"] == [LACKS, UNKNOWN]


def test_the_shell_ends_with_a_code_of_its_own_and_verify_lists_them(generated_copy, tmp_path, monkeypatch):
    monkeypatch.setenv("PROJECT_EXPORT_ALLOW_ABSENT", "issues.description")
    change(generated_copy, "ALTER TABLE issues DROP description")
    out = tmp_path / "out"
    arguments = ["--project-id", "1", "--source", generated_copy, "--out", str(out), "--relations", "issues"]
    versions = ["--gitlab-version", "19.5.0", "--gitlab-revision", "0123456789a"]
    done = CliRunner().invoke(app, ["export", *arguments, *versions, "--jobs", "1"])
    assert (done.exit_code, f"omission: {LACKS}" in done.stderr) == (3, True)
    archive = Path(done.stdout.splitlines()[-1].removeprefix("archive: "))
    checked = CliRunner().invoke(app, ["verify", str(archive)])
    assert f"omission: {LACKS}" in checked.stdout.splitlines()


def test_values_of_a_missing_repository_are_null_and_not_those_of_the_settings(generated_copy, ledger_dsn, tmp_path):
    change(generated_copy, "UPDATE application_settings SET default_branch_name = 'trunk'")
    ctx = context(generated_copy, ledger_dsn, tmp_path, units=1, locations=f"repositories={tmp_path}")
    created = started(ctx, "labels")
    assert work(ctx, created) == []
    merged = merge(ctx, created)
    assert merged.omissions == (NO_REPOSITORY,)
    assert read_archive(path_of(merged))["project"][0]["default_branch"] is None
