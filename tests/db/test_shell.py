"""`project-export` as people use it: as a process, with processes of its own, on real databases."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest
from psycopg.sql import SQL, Identifier
from typer.testing import CliRunner

from project_export.archive.manifest import Manifest
from project_export.cli import app
from project_export.shell import run_alive
from project_export.steps.process import Process
from tests.runs import assert_same, backends, files, locked, terminate, wait_until

COMMAND = [sys.executable, "-c", "from project_export.cli import app; app()"]


@dataclass
class Shell:
    """Runs commands in a folder whose name no path or URI may stumble over, with the settings of an export."""

    folder: Path
    environment: dict[str, str]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen([*COMMAND, *arguments], cwd=self.folder, env=self.environment, **pipes)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def export(self, source: str, *more: str) -> list[str]:
        return ["export", "--project-id", "1", "--source", source, "--out", str(self.folder / "out"), *more]

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Read the SQLite ledger of the export."""
        connection = sqlite3.connect(self.folder / "out" / "ledger.sqlite")
        try:
            return connection.execute(query).fetchall()
        except sqlite3.OperationalError:
            return []
        finally:
            connection.close()


@pytest.fixture
def shell(tmp_path: Path, repo: Path, generated_locations: str) -> Shell:
    settings = {
        "PROJECT_EXPORT_LOCATIONS": generated_locations,
        "PYTHONPATH": str(repo / "include"),
        "PROJECT_EXPORT_GITLAB_VERSION": "18.6.0",
        "PROJECT_EXPORT_GITLAB_REVISION": "0123456789a",
        "PROJECT_EXPORT_UNIT_COST": "1",
        "PROJECT_EXPORT_HEARTBEAT_SECONDS": "0.2",
    }
    others = {name: value for name, value in os.environ.items() if not name.startswith("PROJECT_EXPORT_")}
    folder = tmp_path / "a b ö#?%"
    folder.mkdir()
    return Shell(folder, others | settings)


@pytest.fixture
def blocked(shell: Shell, generated_copy: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """An export of which one unit waits for a lock below labels, and its source."""
    with locked(generated_copy, "label_priorities"):
        process = shell.start(*shell.export(generated_copy, "--jobs", "2", "--relations", "labels,boards"))
        wait_until(lambda: reading(generated_copy, "labels"), 40)
        yield process, generated_copy
    if process.poll() is None:
        process.kill()
        process.communicate()


def reading(source: str, relation: str) -> list[str]:
    return [name for name in backends(source) if name.endswith(f" {relation}") and " worker " in name]


def below(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_an_export_from_a_shell_end_to_end(shell: Shell, generated: str, sample_database: str) -> None:
    done = shell.run(*shell.export(generated, "--jobs", "2"))
    assert done.returncode == 0, done.stderr
    *_, counts, last = done.stdout.splitlines()
    archive = Path(last.removeprefix("archive: "))
    assert last == f"archive: {archive}"
    assert archive.is_relative_to(shell.folder / "out")
    assert_same(archive, generated)

    manifest = Manifest.from_json(archive.with_name("project.manifest.json").read_bytes())
    records = sum(relation.rows for relation in manifest.relations)
    assert counts == f"{records} records, {archive.stat().st_size} bytes"
    assert shell.rows("SELECT state, records FROM project_export_job") == [("finished", records)]
    assert {attempt for (attempt,) in shell.rows("SELECT attempt FROM relation_export")} == {1}
    assert len(shell.rows("SELECT DISTINCT owner FROM relation_export")) == 2
    assert backends(generated) == []

    password = str(urlsplit(generated).password)
    kept = [path.read_bytes() for path in shell.folder.rglob("*") if path.is_file()]
    assert not [text for text in (done.stdout.encode(), done.stderr.encode(), *kept) if password.encode() in text]
    assert not [name for name in files(shell.folder) if name.endswith(".tmp") or password in name]

    said = [line for line in done.stderr.splitlines() if line.endswith(" records")]
    assert sorted(said) == sorted(f"{one.relation}: {one.rows} records" for one in manifest.relations)

    checked = CliRunner().invoke(app, ["verify", str(archive), "--deep", "--strict"])
    assert checked.exit_code == 0
    assert "project.manifest.json says" in checked.stdout
    assert re.search(r"^ +1  project.bundle \(\d+ bytes\)$", checked.stdout, re.MULTILINE)

    loaded = CliRunner().invoke(app, ["sample", "load", str(archive), "--dsn", sample_database])
    assert loaded.exit_code == 0, loaded.stderr
    assert loaded.stdout.splitlines()[-1].startswith("project: ")
    with psycopg.connect(sample_database) as conn:
        assert conn.execute("SELECT id FROM projects").fetchone() == (int(loaded.stdout.split()[-1]),)


@pytest.mark.parametrize(
    ("sign", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_an_interrupted_export_leaves_nothing_behind(
    shell: Shell, blocked: tuple[subprocess.Popen[str], str], sign: signal.Signals, code: int
) -> None:
    process, source = blocked
    children = below(process)
    assert len(children) >= 2
    for hit in [*children, process] if sign is signal.SIGINT else [process]:  # Ctrl-C reaches the whole terminal
        hit.send_signal(sign)
    _, err = process.communicate(timeout=30)
    assert process.returncode == code, err
    assert "Traceback" not in err
    if sign is signal.SIGINT:
        assert err.splitlines()[-1] == "interrupted: job 1; the same command continues it"
    assert wait_until(lambda: not backends(source))
    # The tracker of multiprocessing ends when it notices that the export has ended.
    assert wait_until(lambda: not [child for child in children if alive(child)])
    assert not [name for name in files(shell.folder) if name.endswith((".tmp", ".tar.gz"))]
    ((state, errors),) = shell.rows("SELECT state, errors FROM project_export_job")
    assert state == "failed"
    assert "the export was interrupted" in errors
    assert shell.rows("SELECT state FROM relation_export WHERE relation = 'labels'") == [("queued",)]


@pytest.mark.parametrize(
    ("end", "consistency", "again"),
    [
        (signal.SIGINT, "relation", {"milestones": 1, "project": 1}),
        pytest.param(signal.SIGKILL, "relation", {"milestones": 1, "project": 1}, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, "project", {"milestones": 2, "project": 2}, marks=pytest.mark.slow),
    ],
)
@pytest.mark.slow
def test_the_same_command_goes_on_with_an_export_that_was_interrupted(
    shell: Shell, generated_copy: str, end: signal.Signals, consistency: str, again: dict[str, int]
) -> None:
    command = shell.export(
        generated_copy, "--jobs", "2", "--relations", "labels,milestones", "--consistency", consistency
    )
    with locked(generated_copy, "label_priorities"):
        process = shell.start(*command)
        wait_until(lambda: reading(generated_copy, "labels"), 150)
        finished = "SELECT 1 WHERE (SELECT count(*) FROM relation_export WHERE state = 'finished') = 2"
        wait_until(lambda: shell.rows(finished), 60)
        children = below(process)
        for hit in [process, *children] if end is signal.SIGKILL else [process]:
            hit.send_signal(end)
        process.communicate(timeout=60)
    wait_until(lambda: not [child for child in children if alive(child)])
    done = shell.run(*command)
    assert done.returncode == 0, done.stderr
    assert "job 1 continues: 2 of its 3 relation(s) or part(s) were exported" in done.stderr
    assert shell.rows("SELECT id, state FROM project_export_job") == [(1, "finished")]
    tried = dict(shell.rows("SELECT relation, attempt FROM relation_export"))
    assert {name: tried[name] for name in again} == again
    assert_same(Path(done.stdout.splitlines()[-1].removeprefix("archive: ")), generated_copy, 1, "labels", "milestones")

    following = shell.run(*command)
    assert following.returncode == 0, following.stderr
    assert shell.rows("SELECT id, state FROM project_export_job") == [(1, "finished"), (2, "finished")]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(["--anew"], marks=pytest.mark.slow),
        pytest.param(["--relations", "labels"], marks=pytest.mark.slow),
        pytest.param(["--description", "another"], marks=pytest.mark.slow),
    ],
)
def test_another_command_begins_anew(shell: Shell, generated_copy: str, other: list[str]) -> None:
    command = shell.export(generated_copy, "--jobs", "1", "--relations", "labels,boards")
    with locked(generated_copy, "boards"):
        shell.environment["PROJECT_EXPORT_LOCK_TIMEOUT_SECONDS"] = "0.1"
        shell.environment["PROJECT_EXPORT_MAX_ATTEMPTS"] = "1"
        assert shell.run(*command).returncode == 1
    done = shell.run(*command, *other)
    assert done.returncode == 0, done.stderr
    assert "goes on" not in done.stderr
    assert shell.rows("SELECT id, state FROM project_export_job") == [(1, "failed"), (2, "finished")]


@pytest.mark.slow
def test_an_export_is_refused_while_another_runs_and_takes_its_place_when_that_was_killed(
    shell: Shell, blocked: tuple[subprocess.Popen[str], str]
) -> None:
    process, source = blocked
    refused = shell.run(*shell.export(source, "--relations", "milestones"))
    assert refused.returncode == 1
    assert "is being exported by job 1: run shell:" in refused.stderr
    children = below(process)
    process.kill()
    process.wait()
    assert shell.rows("SELECT state FROM project_export_job") == [("started",)]
    done = shell.run(*shell.export(source, "--jobs", "1", "--relations", "milestones"))
    assert done.returncode == 0, done.stderr
    assert shell.rows("SELECT state FROM project_export_job ORDER BY id") == [("failed",), ("finished",)]
    assert wait_until(lambda: not [child for child in children if alive(child)])
    assert wait_until(lambda: not backends(source))


@pytest.mark.slow
def test_what_a_killed_unit_was_at_is_exported_by_another(shell: Shell, generated_copy: str) -> None:
    with locked(generated_copy, "label_priorities"):
        process = shell.start(*shell.export(generated_copy, "--jobs", "2", "--relations", "labels,boards"))
        wait_until(lambda: reading(generated_copy, "labels"), 40)
        with psycopg.connect(generated_copy) as conn:
            query = "SELECT client_port FROM pg_stat_activity WHERE datname = %s AND application_name LIKE '%% labels'"
            ports = {port for (port,) in conn.execute(query, [conn.info.dbname])}
        (victim,) = (child for child in below(process) if ports & ports_of(child))
        victim.kill()
        wait_until(lambda: shell.rows("SELECT 1 FROM relation_export WHERE relation = 'labels' AND deaths = 1"))
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert_same(Path(out.splitlines()[-1].removeprefix("archive: ")), generated_copy, 1, "labels", "boards")
    assert dict(shell.rows("SELECT relation, attempt FROM relation_export")) == {"project": 1, "labels": 2, "boards": 1}
    assert shell.rows("SELECT snapshot_generation FROM project_export_job") == [(1,)]


@pytest.mark.slow
def test_a_lost_snapshot_is_replaced_and_all_relations_are_read_from_the_new_one(
    shell: Shell, generated_copy: str
) -> None:
    with locked(generated_copy, "label_priorities"):
        process = shell.start(*shell.export(generated_copy, "--jobs", "2", "--relations", "labels,boards"))
        wait_until(lambda: reading(generated_copy, "labels"), 40)
        terminate(generated_copy, "%snapshot")
        wait_until(lambda: shell.rows("SELECT 1 FROM project_export_job WHERE snapshot_generation = 2"))
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert_same(Path(out.splitlines()[-1].removeprefix("archive: ")), generated_copy, 1, "labels", "boards")
    assert set(shell.rows("SELECT state, generation FROM relation_export")) == {("finished", 2)}


def ports_of(process: psutil.Process) -> set[int]:
    return {connection.laddr.port for connection in process.net_connections() if connection.laddr}


def test_a_relation_that_cannot_be_read_fails_the_export_and_is_named(
    role: str, shell: Shell, generated_copy: str
) -> None:
    with psycopg.connect(generated_copy) as conn:
        for statement in ("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}", "REVOKE SELECT ON boards FROM {}"):
            conn.execute(SQL(statement).format(Identifier(role)))
    source = f"{generated_copy}?options=-c%20role%3D{role}"
    done = shell.run(*shell.export(source, "--jobs", "1", "--relations", "labels,boards"))
    assert done.returncode == 1
    assert "error: 1 relation(s) failed, so no archive was published:\n  boards [42501] (attempt 1): " in done.stderr
    assert "archive:" not in done.stdout
    assert not [name for name in files(shell.folder) if name.endswith(".tar.gz")]
    assert shell.rows("SELECT state FROM project_export_job") == [("failed",)]


def test_a_run_lives_as_long_as_the_very_process_that_began_it() -> None:
    me = Process.this()
    assert me.born.isdigit()
    assert run_alive(f"shell:{me}:abcd")
    assert not run_alive(f"shell:{replace(me, born='1')}:abcd")  # the number was another process's before
    assert run_alive(f"shell:{me.host}:{me.pid}:01234567")  # as runs were named before the beginning was told
    assert run_alive(f"shell:{replace(me, host='another-machine', born='1')}:abcd")
    assert run_alive("export_project/manual__1")
    child = subprocess.Popen(["sleep", "60"])
    born = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[19]
    run = f"shell:{replace(me, pid=child.pid, born=born)}:abcd"
    assert run_alive(run)
    child.kill()
    wait_until(lambda: not run_alive(run))  # nobody has asked yet how it ended
    child.wait()
    assert not run_alive(run)


@pytest.mark.parametrize(
    ("code", "said", "arguments"),
    [
        (2, "project_id must be positive and fit into 64 bits; got 0", ["--project-id", "0"]),
        (1, "project 4711 is not in projects", ["--project-id", "4711"]),
        (2, "relation isues is unknown; nearest: issues", ["--relations", "isues"]),
        (2, "consistency must be relation or project", ["--consistency", "none"]),
        (1, "connection failed", ["--source", "postgresql://jane:s3cret@127.0.0.1:1/gitlab"]),
        (2, "neither a libpq URI nor a keyword string", ["--source", "host=db password=very s3cret"]),
        (1, "neither a libpq URI nor a keyword string", ["--ledger", "host=db password=very s3cret"]),
    ],
)
def test_wrong_use_ends_with_2_and_a_failure_with_1(
    shell: Shell, generated: str, monkeypatch: pytest.MonkeyPatch, code: int, said: str, arguments: list[str]
) -> None:
    for name, value in shell.environment.items():
        monkeypatch.setenv(name, value)
    before = signal.getsignal(signal.SIGTERM)
    done = CliRunner().invoke(app, shell.export(generated, *arguments))
    signal.signal(signal.SIGTERM, before)
    assert done.exit_code == code, done.output
    assert said in done.stderr
    assert "Traceback" not in done.output
    assert "s3cret" not in done.output
    asked = (shell.folder / "out").exists()  # a request that is wrong by itself does not touch the folder
    assert asked == (said in ("project 4711 is not in projects", "connection failed"))
    assert not asked or shell.rows("SELECT state FROM project_export_job") == []
