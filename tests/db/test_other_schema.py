"""A tree of another schema than GitLab's, in the format `plain`: exported from a shell, then verified."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from click.testing import Result
from typer.testing import CliRunner

from project_export.archive.manifest import Manifest
from project_export.cli import app
from tests import library
from tests.databases import Databases

COMMAND = [sys.executable, "-c", "from project_export.cli import app; app()"]
GIVEN = [text for name, value in library.PARAMETERS.items() for text in ("--parameter", f"{name}={value}")]

Run = Callable[..., Result]
Export = Callable[..., Path]


@pytest.fixture(scope="module")
def source(databases: Databases) -> Iterator[str]:
    with databases.new() as uri:
        library.fill(uri)
        yield uri


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return library.write_tree(tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="module")
def export(tree: Path, source: str, repo: Path, tmp_path_factory: pytest.TempPathFactory) -> Export:
    """Export the library in a process whose only setting is the tree, and return the archive."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("PROJECT_EXPORT_")}
    environment = {**others, "PYTHONPATH": str(repo / "include"), "PROJECT_EXPORT_TREE": str(tree)}

    def export(*more: str, source: str = source) -> Path:
        out = tmp_path_factory.mktemp("out")
        where = ["--project-id", str(library.ID), "--source", source, "--out", str(out), "--jobs", "1"]
        command = [*COMMAND, "export", *where, *more]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr
        return Path(done.stdout.splitlines()[-1].removeprefix("archive: "))

    return export


@pytest.fixture(scope="module")
def archive(export: Export) -> Path:
    """The archive of an export with parameters."""
    return export(*GIVEN)


@pytest.fixture
def run(tree: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command with the tree as the only setting besides these."""

    def run(*arguments: str, **settings: str) -> Result:
        for name, value in {"PROJECT_EXPORT_TREE": str(tree), **settings}.items():
            monkeypatch.setenv(name, value)
        return CliRunner().invoke(app, arguments)

    return run


def test_an_export_needs_no_setting_of_gitlab_and_has_none_of_its_files_and_escapes(archive: Path) -> None:
    assert library.files_of(archive) == library.FILES


def test_verify_finds_nothing_wrong_and_nothing_odd(archive: Path, run: Run) -> None:
    done = run("verify", "--strict", "--json", str(archive))
    report = json.loads(done.stdout)
    assert (done.exit_code, report["ok"], report["version"]) == (0, True, None), done.stdout
    assert report["problems"] == report["warnings"] == report["remarks"] == []
    assert report["records"] == {"library": 1, "books": 2, "rules": 2}


def test_verify_finds_a_file_that_the_format_does_not_have(archive: Path, tmp_path: Path, run: Run) -> None:
    library.write_archive(tmp_path / "more.tar.gz", {**library.FILES, "VERSION": "0.2.4"})
    done = run("verify", "--json", str(tmp_path / "more.tar.gz"))
    (remark,) = json.loads(done.stdout)["remarks"]
    assert (remark["code"], remark["where"]) == ("unknown", "VERSION")
    assert remark["message"] == "archives of the format plain do not have this file"


def test_verify_finds_a_value_that_neither_its_column_nor_its_parameter_can_have(tmp_path: Path, run: Run) -> None:
    library.write_archive(tmp_path / "odd.tar.gz", {**library.FILES, "tree/library.json": '{"name":"n","motto":5}'})
    done = run("verify", "--json", str(tmp_path / "odd.tar.gz"))
    (problem,) = json.loads(done.stdout)["problems"]
    assert (problem["code"], problem["message"]) == ("type", "library.motto: a number instead of a text")


def test_without_parameters_the_values_of_the_source_stay_and_defaults_count(export: Export) -> None:
    archive = export()
    files = library.files_of(archive)
    assert files["tree/library.json"].endswith('"motto":"old","shelves":{"number":3}}')
    assert [book["lent"] for book in records(files["tree/library/books.ndjson"])] == [None, False]
    assert [book["price"] for book in records(files["tree/library/books.ndjson"])] == [0.5, 0.5]
    kept = archive.with_name("project.manifest.json").read_bytes()
    assert b"gitlab" not in kept.lower()
    assert Manifest.from_json(kept).tree == "library"


def test_parameters_replace_values_in_a_large_record_and_inside_a_wrap(export: Export, database: str) -> None:
    library.fill(database)
    with psycopg.connect(database) as conn:
        conn.execute("INSERT INTO loans SELECT n, 1, repeat('x', 1000), 7 FROM generate_series(10, 20000) AS n")
    given = ("--parameter", "price=2", "--parameter", "lent=false", "--parameter", "shelves=12")
    files = library.files_of(export(*given, source=database))
    first, second = records(files["tree/library/books.ndjson"])
    assert (first["price"], first["lent"], len(first["loans"]), list(first)[-1]) == (2, False, 19_993, "lent")
    assert (second["price"], second["lent"]) == (2, False)
    assert files["tree/library.json"].endswith('"shelves":{"number":12}}')


def records(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.removesuffix("\n").split("\n")]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("shelf=1", "parameter shelf is unknown; nearest: shelves"),
        ("shelves=many", "shelves must be an integer; got 'many'"),
        ("shelves=1.5", "shelves must be an integer; got 1.5"),
        ("shelves=true", "shelves must be an integer; got True"),
        (f"shelves={1 << 63}", "shelves must fit into 64 bits"),
        ("price=NaN", "price must be a finite number; got nan"),
        ("lent=1", "lent must be a boolean; got 1"),
        (f"motto={'x' * 21}", "motto must have at most 20 characters; got 21"),
        ("motto", "a parameter must be NAME=VALUE; got 'motto'"),
        ("project_id=8", "parameter project_id is not declared by the tree; it has its own option"),
        ("description=x", "parameter description is unknown"),
    ],
)
def test_a_parameter_that_the_tree_does_not_accept_is_refused(
    run: Run, source: str, tmp_path: Path, given: str, said: str
) -> None:
    where = ("--project-id", "7", "--source", source, "--out", str(tmp_path / "out"))
    done = run("export", *where, "--parameter", given)
    assert (done.exit_code, said in done.stderr) == (2, True), done.stderr
    assert not (tmp_path / "out").exists()


def test_the_same_parameter_twice_is_refused(run: Run, source: str, tmp_path: Path) -> None:
    where = ("--project-id", "7", "--source", source, "--out", str(tmp_path / "out"))
    done = run("export", *where, "--parameter", "motto=a", "--parameter", "motto=b")
    assert (done.exit_code, done.stderr) == (2, "error: parameter motto is given twice\n")


def test_verify_takes_the_tree_by_option_where_no_setting_names_it(archive: Path, run: Run, tree: Path) -> None:
    assert run("verify", "--tree", str(tree), str(archive), PROJECT_EXPORT_TREE="").exit_code == 0
    done = run("verify", str(archive), PROJECT_EXPORT_TREE="")
    assert (done.exit_code, "library.yaml: No such file" in done.stderr) == (2, True)


def test_the_limits_of_gitlab_are_not_those_of_another_format(archive: Path, run: Run) -> None:
    done = run("verify", "--gitlab-limits", str(archive))
    assert (done.exit_code, done.stderr) == (2, "error: --gitlab-limits: archives of the format plain have none\n")


def test_check_asks_for_no_setting_of_gitlab(run: Run, source: str, tmp_path: Path) -> None:
    done = run("check", "--source", source, "--out", str(tmp_path), "--project-id", str(library.ID))
    assert "GITLAB" not in done.stdout.upper()
    assert "setting store" in done.stdout
    assert [line for line in done.stdout.splitlines() if line.startswith("WRONG")] == [], done.stdout


def test_what_the_source_lacks_is_explained_by_the_version_of_the_application(
    run: Run, source: str, tmp_path: Path
) -> None:
    tree = library.write_tree(tmp_path, f"{library.TREE}column_since: {{2.0: [loans.days]}}\n")
    settings = {"PROJECT_EXPORT_TREE": str(tree)}
    with psycopg.connect(source) as conn:
        conn.execute("ALTER TABLE loans RENAME days TO day_count")
    try:
        done = run("tree", "check", "--source", source, **settings)
        assert done.exit_code == 1
        assert "Is the version right (PROJECT_EXPORT_APPLICATION_VERSION)" in done.stderr
        done = run("tree", "check", "--source", source, **settings, PROJECT_EXPORT_APPLICATION_VERSION="1.9")
        assert (done.exit_code, "books.loans.days: left out" in done.stdout) == (0, True), done.stderr
    finally:
        with psycopg.connect(source) as conn:
            conn.execute("ALTER TABLE loans RENAME day_count TO days")
