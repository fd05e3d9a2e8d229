"""The source filters nothing: what may hide rows fails the export before one is read, unless a setting allows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Identifier
from typer.testing import CliRunner

from project_export.archive.manifest import Manifest
from project_export.cli import app
from project_export.errors import SourceFiltered, SourceRefused
from project_export.source import Limits, Session
from project_export.steps import Context
from project_export.tree import bind, load, tables
from project_export.tree.reads import columns
from tests.archives import read_archive
from tests.runs import NO_REPOSITORY, RUN, assert_same, context, merge, path_of, started, work

Make = Callable[..., Context]


@pytest.fixture
def make(tmp_path: Path, generated_copy: str) -> Iterator[Make]:
    """Make contexts on a source, as a role if one is given, with settings."""
    made: list[Context] = []

    def make(role: str = "", **settings: Any) -> Context:
        ctx = context(generated_copy, f"sqlite:///{tmp_path}/ledger", tmp_path / "store", units=1, **settings)
        options = f"-c role={role}" if role else ""
        made.append(replace(ctx, connect=lambda: psycopg.connect(generated_copy, options=options)))
        return made[-1]

    yield make
    for ctx in made:
        ctx.ledger.close()


def change(uri: str, *statements: str) -> None:
    with psycopg.connect(uri) as conn:
        for statement in statements:
            conn.execute(statement.encode())


def grant(uri: str, role: str) -> None:
    """Run what `tree grants` prints."""
    code, printed, _ = tree(uri, "grants", "--role", role)
    assert code == 0
    change(uri, *printed.splitlines())


def tree(uri: str, *words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["tree", words[0], "--source", uri, *words[1:]])
    return result.exit_code, result.stdout, result.stderr


def as_role(uri: str, role: str) -> str:
    """Return a URI whose sessions are of this role."""
    return f"{uri}?options=-c%20role%3D{role}"


def export(ctx: Context, *relations: str) -> tuple[dict[str, list[Any]], Manifest]:
    created = started(ctx, *relations)
    assert work(ctx, created) == []
    archive = path_of(merge(ctx, created))
    return read_archive(archive), Manifest.from_json(archive.with_name("project.manifest.json").read_bytes())


def remarks(manifest: Manifest, name: str) -> tuple[str, ...]:
    return next(relation.remarks for relation in manifest.relations if relation.relation == name)


POLICY = ("ALTER TABLE issues ENABLE ROW LEVEL SECURITY", "CREATE POLICY odd ON issues USING (id % 2 = 1)")


def test_row_policies_fail_the_export_before_a_row_is_read_and_all_are_named(
    role: str, generated_copy: str, make: Make
) -> None:
    grant(generated_copy, role)
    change(generated_copy, *POLICY, "ALTER TABLE labels ENABLE ROW LEVEL SECURITY")
    ctx = make(role)
    with pytest.raises(SourceFiltered) as caught:
        started(ctx)
    assert caught.value.sqlstate == "42501"
    said = str(caught.value).splitlines()
    assert [line.split()[3] for line in said[1:]] == ["public.issues", "public.labels"]
    assert all("BYPASSRLS, or set PROJECT_EXPORT_ALLOW_ROW_SECURITY=true" in line for line in said[1:])
    assert ctx.ledger.queries.job_of_run(RUN) is None
    assert started(ctx, "milestones").job_id


def test_a_policy_added_after_create_is_an_error_of_its_relation(role: str, generated_copy: str, make: Make) -> None:
    grant(generated_copy, role)
    ctx = make(role)
    created = started(ctx)
    change(generated_copy, *POLICY)
    work(ctx, created)
    failed = {failure.relation: failure for failure in ctx.ledger.queries.failures(created.job_id)}
    assert failed["issues"].sqlstate == "42501"
    assert "row policies of public.issues apply" in failed["issues"].message
    assert "PROJECT_EXPORT_ALLOW_ROW_SECURITY=true" in failed["issues"].message


def test_the_server_itself_refuses_what_a_policy_would_hide(role: str, generated_copy: str, make: Make) -> None:
    grant(generated_copy, role)
    change(generated_copy, *POLICY)
    with make(role).session("test") as session, pytest.raises(SourceRefused) as caught:
        session.one("SELECT count(*) FROM issues")
    assert caught.value.sqlstate == "42501"
    assert 'policy for table "issues"' in str(caught.value)
    assert "BYPASSRLS" in str(caught.value)


def test_rows_that_an_allowed_policy_hides_are_an_omission(role: str, generated_copy: str, make: Make) -> None:
    grant(generated_copy, role)
    change(generated_copy, *POLICY)
    found, manifest = export(make(role, allow_row_security=True))
    with psycopg.connect(generated_copy) as conn:
        odd = conn.execute("SELECT count(*) FROM issues WHERE project_id = 1 AND id % 2 = 1").fetchone()
    assert odd is not None
    assert len(found["issues"]) == odd[0] > 0
    assert [text for text in manifest.omissions if "location" not in text] == [
        "rows may be missing: row policies of public.issues apply to this role, which"
        " PROJECT_EXPORT_ALLOW_ROW_SECURITY=true allows",
    ]
    assert not [text for text in remarks(manifest, "issues") if "rows may be missing" in text]


def test_a_policy_that_does_not_apply_to_the_role_changes_nothing(generated_copy: str, make: Make) -> None:
    change(generated_copy, *POLICY)
    ctx = make()
    created = started(ctx)
    assert work(ctx, created) == []
    assert_same(path_of(merge(ctx, created)), generated_copy)


HIDERS = {
    "a view": (
        "ALTER TABLE labels RENAME TO all_labels",
        "CREATE VIEW labels AS SELECT * FROM all_labels WHERE id > 3",
    ),
    "a materialized view": (
        "ALTER TABLE labels RENAME TO all_labels",
        "CREATE MATERIALIZED VIEW labels AS SELECT * FROM all_labels WHERE id > 3",
    ),
    "a foreign table": (
        "CREATE FOREIGN DATA WRAPPER nothing",
        "CREATE SERVER away FOREIGN DATA WRAPPER nothing",
        "CREATE SCHEMA old",
        "ALTER TABLE labels SET SCHEMA old",
        "CREATE FOREIGN TABLE labels (LIKE old.labels) SERVER away",
    ),
    "has foreign tables as partitions": (
        "CREATE FOREIGN DATA WRAPPER nothing",
        "CREATE SERVER away FOREIGN DATA WRAPPER nothing",
        "CREATE FOREIGN TABLE more_labels () INHERITS (labels) SERVER away",
    ),
}


@pytest.mark.parametrize("what", HIDERS)
def test_what_is_not_a_plain_table_fails_the_export(generated_copy: str, make: Make, what: str) -> None:
    change(generated_copy, *HIDERS[what])
    with pytest.raises(SourceFiltered, match=rf"public\.labels (is )?{what}.*ALLOW_TABLES=public\.labels"):
        started(make(), "labels")
    assert started(make(), "milestones").job_id


def test_an_allowed_view_is_read_and_the_manifest_says_so(generated_copy: str, make: Make) -> None:
    change(generated_copy, *HIDERS["a view"])
    found, manifest = export(make(allow_tables='other.x, public.labels,"A, b".c'), "labels")
    with psycopg.connect(generated_copy) as conn:
        there = conn.execute("SELECT count(*) FROM labels WHERE project_id = 1").fetchone()
    assert there is not None
    assert len(found["labels"]) == there[0]
    assert remarks(manifest, "labels") == (
        "rows may be missing: public.labels is a view, which PROJECT_EXPORT_ALLOW_TABLES=public.labels allows",
    )


def elsewhere(uri: str, *statements: str) -> None:
    name = psycopg.conninfo.conninfo_to_dict(uri)["dbname"]
    change(uri, 'CREATE SCHEMA "Al so"', *statements, f'ALTER DATABASE "{name}" SET search_path = "Al so", public')


def test_a_table_of_another_schema_than_the_roots_fails_the_export(generated_copy: str, make: Make) -> None:
    elsewhere(generated_copy, 'ALTER TABLE labels SET SCHEMA "Al so"')
    with pytest.raises(SourceFiltered, match=r'"Al so"\.labels is in another schema than public\.projects'):
        started(make())
    assert export(make(allow_tables='"Al so".labels'))[0]["labels"]


def test_a_table_in_several_schemas_of_the_search_path_fails_the_export(generated_copy: str, make: Make) -> None:
    elsewhere(generated_copy, 'CREATE TABLE "Al so".milestones (LIKE milestones)')
    with pytest.raises(SourceFiltered) as caught:
        started(make())
    assert [line.partition(":")[0].strip() for line in str(caught.value).splitlines()[1:]] == [
        '"Al so".milestones is in another schema than public.projects',
        '"Al so".milestones is one of several on the search path, with public.milestones',
    ]


@pytest.mark.parametrize(
    ("change_of", "title"),
    [
        ("SELECT 1", "acme/tools/project-1"),
        ("DROP TABLE routes", ""),
        ("DELETE FROM routes", ""),
        ("REVOKE SELECT ON routes FROM {}", ""),
        (
            "ALTER TABLE routes RENAME TO road; CREATE VIEW routes AS SELECT * FROM road; GRANT ALL ON routes TO {}",
            "acme/tools/project-1",
        ),
    ],
)
def test_a_source_without_a_title_is_exported_by_its_number(
    role: str, generated_copy: str, make: Make, change_of: str, title: str
) -> None:
    grant(generated_copy, role)
    with psycopg.connect(generated_copy) as conn:
        conn.execute(SQL(change_of).format(Identifier(role)))
    ctx = make(role)
    created = started(ctx, "labels")
    assert created.project == title
    assert work(ctx, created) == []
    assert merge(ctx, created).omissions == (NO_REPOSITORY,)


def test_tree_check_names_what_may_hide_rows(generated_copy: str) -> None:
    change(generated_copy, *HIDERS["a view"])
    code, _, said = tree(generated_copy, "check")
    assert code == 1
    assert "public.labels is a view" in said


def test_the_printed_grants_are_all_that_an_export_needs(role: str, generated_copy: str, make: Make) -> None:
    change(generated_copy, "REVOKE ALL ON SCHEMA public FROM PUBLIC")
    uri = as_role(generated_copy, role)
    assert tree(uri, "check")[0] == 1
    grant(generated_copy, role)
    code, _, said = tree(uri, "check")
    assert (code, "may not read" in said) == (0, False)
    ctx = make(role)
    created = started(ctx)
    assert work(ctx, created) == []
    assert_same(path_of(merge(ctx, created)), generated_copy)


def test_tree_check_names_the_columns_that_a_role_may_not_read(role: str, generated_copy: str) -> None:
    grant(generated_copy, role)
    with psycopg.connect(generated_copy) as conn:
        for statement in (
            "REVOKE ALL ON milestones, labels FROM {}",
            "GRANT SELECT (id, title) ON labels TO {}",
        ):
            conn.execute(SQL(statement).format(Identifier(role)))
    code, _, said = tree(as_role(generated_copy, role), "check")
    assert code == 1
    lines = said.partition("may not read these")[2].splitlines()[1:]
    assert [line.split()[0] for line in lines] == ["public.labels", "public.milestones"]
    assert "title" not in lines[0]
    assert "title" in lines[1]


def test_a_role_that_may_read_no_other_column_than_check_asks_for_can_export(
    role: str, generated_copy: str, make: Make
) -> None:
    loaded = load("gitlab")
    with Session(lambda: psycopg.connect(generated_copy), "test", Limits()) as session:
        reads = columns(bind(loaded, session.catalogue(tables(loaded))))
    with psycopg.connect(generated_copy) as conn:
        for table, names in reads.items():
            listed = SQL(", ").join(map(Identifier, names))
            conn.execute(SQL("GRANT SELECT ({}) ON {} TO {}").format(listed, Identifier(table), Identifier(role)))
    assert tree(as_role(generated_copy, role), "check")[0] == 0
    ctx = make(role)
    created = started(ctx)
    assert work(ctx, created) == []
    assert_same(path_of(merge(ctx, created)), generated_copy)


def test_names_of_grants_are_quoted(generated_copy: str) -> None:
    elsewhere(generated_copy, 'ALTER TABLE labels SET SCHEMA "Al so"')
    environment = {"PROJECT_EXPORT_ALLOW_TABLES": '"Al so".labels'}
    arguments = ["tree", "grants", "--source", generated_copy, "--role", 'a "b"']
    result = CliRunner().invoke(app, arguments, env=environment)
    assert result.exit_code == 0
    assert 'GRANT USAGE ON SCHEMA "Al so" TO "a ""b""";' in result.stdout
    (labels,) = (line for line in result.stdout.splitlines() if '"labels"' in line)
    assert labels.startswith('GRANT SELECT ("color", "created_at",')
    assert labels.endswith(') ON TABLE "Al so"."labels" TO "a ""b""";')


def test_the_printed_grants_do_not_include_secrets_of_the_same_tables(generated_copy: str) -> None:
    _, printed, _ = tree(generated_copy, "grants", "--role", "reader")
    by_table = {
        line.partition('."')[2].partition('"')[0]: line for line in printed.splitlines() if " ON TABLE " in line
    }
    assert by_table["users"].startswith(
        'GRANT SELECT ("id", "name", "public_email", "updated_at", "username") ON TABLE'
    )
    assert "runners_token" not in by_table["projects"] + by_table["namespaces"]
