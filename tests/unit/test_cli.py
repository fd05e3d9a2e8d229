"""The shell's commands where no database is needed: help, wrong use, and errors in one line without secrets."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import pytest

from tests import commands
from tests.commands import Ran

Run = Callable[..., Ran]


@pytest.fixture
def run() -> Iterator[Run]:
    """Run a command in this process; what it does to SIGTERM is undone."""
    before = signal.getsignal(signal.SIGTERM)
    yield lambda *arguments: commands.run(arguments)
    signal.signal(signal.SIGTERM, before)


def export(out: Path, *more: str) -> list[str]:
    return [
        "export",
        "--project-id",
        "1",
        "--source",
        "postgresql://jane:s3cret@127.0.0.1:1/x",
        "--out",
        str(out),
        *more,
    ]


def test_every_command_has_help(run: Run) -> None:
    for command in ([], ["export"], ["verify"], ["ledger", "upgrade"], ["ledger", "check"], ["sample", "load"]):
        done = run(*command, "--help")
        assert done.exit_code == 0
        assert "Usage:" in done.output


@pytest.mark.parametrize(
    "arguments", [["--jobs", "0"], ["--project-id", "x"], ["--relation", "issues"], ["unexpected"]]
)
def test_what_the_command_line_does_not_know_is_wrong_use(run: Run, tmp_path: Path, arguments: list[str]) -> None:
    assert run(*export(tmp_path, *arguments)).exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_missing_setting_is_named(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROJECT_EXPORT_GITLAB_VERSION", raising=False)
    done = run(*export(tmp_path))
    assert (done.exit_code, "PROJECT_EXPORT_GITLAB_VERSION is not set" in done.stderr) == (1, True)


def test_a_setting_out_of_range_is_named_in_one_line(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROJECT_EXPORT_BATCH_ROWS", "none")
    done = run(*export(tmp_path))
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1] == "error: PROJECT_EXPORT_BATCH_ROWS must be an integer; got 'none'"


def test_missing_settings_are_listed_with_what_else_is_missing_and_no_folder_is_made(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("VERSION", "REVISION"):
        monkeypatch.delenv(f"PROJECT_EXPORT_GITLAB_{name}", raising=False)
    done = run(*export(tmp_path / "out"))
    assert done.exit_code == 1
    assert done.stderr.startswith("error: 3 things are missing for an export:")
    for said in ("PROJECT_EXPORT_GITLAB_VERSION is not set", "PROJECT_EXPORT_GITLAB_REVISION is not set", "source: "):
        assert said in done.stderr
    assert "s3cret" not in done.output
    assert list(tmp_path.iterdir()) == []


def test_the_version_is_printed(run: Run) -> None:
    done = run("--version")
    assert (done.exit_code, done.stdout) == (0, f"project-export {metadata.version('project-export')}\n")


@pytest.mark.parametrize("command", ["status", "prune"])
def test_where_there_is_no_ledger_none_is_made(run: Run, tmp_path: Path, command: str) -> None:
    assert "no ledger was given" in run(command).stderr
    done = run(command, "--out", str(tmp_path / "out"))
    assert (done.exit_code, "has no ledger" in done.stderr) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    versions = ("--gitlab-version", "18.6.0", "--gitlab-revision", "0123456789a")
    done = run(*export(tmp_path / "file" / "out", *versions))
    assert (done.exit_code, f"{tmp_path}/file/out" in done.stderr) == (1, True)


@pytest.mark.parametrize(
    "command",
    [["ledger", "upgrade"], ["ledger", "check"], ["sample", "schema"], ["sample", "generate"], ["sample", "load", "a"]],
)
@pytest.mark.parametrize("dsn", ["host=db password=very s3cret", "postgresql://jane:s3/cret@db/x"])
def test_a_dsn_that_cannot_be_read_is_not_repeated(run: Run, command: list[str], dsn: str) -> None:
    done = run(*command, "--dsn", dsn)
    assert done.exit_code == 1
    assert "Traceback" not in done.output
    assert not any(piece in done.output for piece in ("s3", "cret"))


@pytest.mark.parametrize("command", ["check", "upgrade"])
def test_a_ledger_that_is_down_is_an_error_in_words(run: Run, command: str) -> None:
    done = run("ledger", command, "--dsn", "postgresql://jane:s3cret@127.0.0.1:1/x")
    assert done.exit_code == 1
    assert done.stderr.startswith("error: The ledger's database did not answer")
    assert "s3cret" not in done.output


def test_what_is_no_archive_fails_verify(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "project.tar.gz"
    path.write_bytes(b"no archive")
    done = run("verify", str(path))
    assert (done.exit_code, "damaged" in done.output) == (1, True)
