"""docker-compose.yaml, started for real from a clone that nobody else may read. `make compose-test`; needs Docker."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from dev.airflow import HEALTH
from dev.postgres import free_port
from dev.rest import Rest, RestError
from project_export.archive.manifest import Manifest
from project_export.archive.verify import verify
from project_export.repositories import Git, check_bundle

DAG_ID = "export_project"
NAME = "project-export-test"
PASSWORD = "a@b/c:d?e#f%g"
START_SECONDS = RUN_SECONDS = 600
RESUME_SECONDS = 60
SCALE = 40
"""Large enough that a run can be hit in the middle."""


@dataclass
class Compose:
    """The services of a clone. command: docker compose with its project."""

    clone: Path
    command: list[str]
    rest: Rest

    def __call__(self, *arguments: str, stdin: str = "") -> str:
        command = [*self.command, *arguments]
        done = subprocess.run(command, cwd=self.clone, input=stdin, stdout=subprocess.PIPE, text=True, check=True)
        return done.stdout.strip()

    def ledger(self, query: str, run_id: str) -> list[str]:
        """Ask the ledger. query: with :'run' for the run's name."""
        psql = ["psql", "-U", "postgres", "-d", "ledger", "-At", "-v", f"run={DAG_ID}/{run_id}"]
        return self("exec", "-T", "-e", f"PGPASSWORD={PASSWORD}", "postgres", *psql, stdin=query).splitlines()

    def end(self, run_id: str) -> str:
        """Wait for the end of a run and return its state; a busy machine may let a request time out."""

        def ended() -> bool:
            with suppress(RestError):
                states.append(self.rest.run_state(DAG_ID, run_id))
            return states[-1] in ("success", "failed")

        states = [""]
        until(ended, RUN_SECONDS, f"ended: {run_id}")
        return states[-1]

    def attempts(self, run_id: str) -> dict[str, int]:
        """Return the attempt of each part that has begun."""
        rows = self.ledger(
            "SELECT relation || '.' || part, attempt FROM relation_export r"
            " JOIN project_export_job j ON j.id = r.job_id WHERE j.run_id = :'run' AND attempt > 0",
            run_id,
        )
        return {name: int(attempt) for name, attempt in (row.split("|") for row in rows)}


def compose_command() -> list[str]:
    """Return how Docker Compose is called here; skip where there is none, or no Docker that answers."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if not shutil.which(command[0]) or subprocess.run([*command, "version"], capture_output=True).returncode:
            continue
        if subprocess.run(["docker", "info"], capture_output=True).returncode:
            pytest.skip("Docker is installed, but its daemon does not answer")
        return command
    pytest.skip("neither `docker compose` nor `docker-compose` is installed")


def until(done: Callable[[], object], seconds: float, what: str) -> None:
    """Return when something is true; fail after the time."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"not {what} after {seconds:g} s"
        time.sleep(0.5)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory, repo: Path) -> Path:
    """What is committed, cloned under umask 077."""
    clone = tmp_path_factory.mktemp("compose") / "clone"
    subprocess.run(["git", "clone", "--quiet", str(repo), str(clone)], umask=0o077, check=True)
    return clone


@pytest.fixture(scope="module")
def compose(clone: Path) -> Iterator[Compose]:
    command = [*compose_command(), "--project-name", NAME]
    port = free_port()
    subprocess.run(["make", "env"], cwd=clone, check=True)
    file = clone / ".env"
    mine = {
        "POSTGRES_PASSWORD": PASSWORD,
        "AIRFLOW_ADMIN_PASSWORD": PASSWORD,
        "PROJECT_EXPORT_PORT": str(port),
        "SAMPLE_SCALE": str(SCALE),
    }
    kept = [line for line in file.read_text().splitlines() if line.partition("=")[0] not in mine]
    file.write_text("\n".join([*kept, *(f"{name}={value}" for name, value in mine.items())]) + "\n")
    os.environ["COMPOSE_DOCKER_CLI_BUILD"] = "0"  # docker-compose 1 would want a plug-in of the docker command
    compose = Compose(clone, command, Rest(f"http://127.0.0.1:{port}", "admin", PASSWORD))
    try:
        compose("up", "--build", "--detach")
        until(lambda: all(compose.rest.health().get(name) == "healthy" for name in HEALTH), START_SECONDS, "healthy")
        until(lambda: compose.rest.dag(DAG_ID) is not None, START_SECONDS, f"reading {DAG_ID}")
        yield compose
    finally:
        subprocess.run([*command, "logs", "--tail", "20"], cwd=clone, check=False)
        compose("down", "--volumes")


def fetched(compose: Compose, run_id: str, folder: Path) -> Path:
    """Copy the archive of a run out of the volume, as docs/operate.md says, and return it."""
    (uri,) = compose.ledger("SELECT archive_uri FROM project_export_job WHERE run_id = :'run'", run_id)
    inside = Path(uri.removeprefix("file://")).parent
    container = compose("ps", "-q", "scheduler")
    subprocess.run(["docker", "cp", f"{container}:{inside}", str(folder / "archive")], check=True)
    return folder / "archive" / "project.tar.gz"


def assert_right(archive: Path) -> None:
    """Check an archive, and that it has the files of each location of the sample, and none is missing."""
    manifest = Manifest.from_json(archive.with_name("project.manifest.json").read_bytes())
    git = Git(timeout_seconds=RUN_SECONDS)
    report = verify(archive, manifest, bundles=lambda bundle: check_bundle(bundle, git, archive.parent, deep=True))
    assert report.ok, report.problems
    found = {relation.relation: len(relation.files) for relation in manifest.relations if relation.files}
    assert found.keys() >= {"repository", "uploads", "lfs_objects"}
    assert [relation.relation for relation in manifest.relations if relation.missing] == []


def test_without_secrets_nothing_starts_and_the_missing_one_is_named(clone: Path) -> None:
    command = compose_command()
    for text in ("", (clone / ".env.example").read_text()):
        (clone / "none.env").write_text(text)
        done = subprocess.run(
            [*command, "--env-file", "none.env", "config"], cwd=clone, capture_output=True, text=True, check=False
        )
        assert done.returncode != 0
        assert "is not set. Run make env" in done.stderr


@pytest.mark.timeout(1800)  # the image may have to be built
def test_an_export_ends_and_its_archive_can_be_fetched(compose: Compose, tmp_path: Path) -> None:
    run_id = compose.rest.trigger(DAG_ID, {"project_id": 2})
    assert compose.end(run_id) == "success"
    assert_right(fetched(compose, run_id, tmp_path))


def test_files_with_passwords_are_for_their_owner_alone(compose: Compose) -> None:
    files = compose("exec", "-T", "scheduler", "sh", "-c", "stat -c '%a %n' /opt/airflow/secrets/*").splitlines()
    assert files == ["600 /opt/airflow/secrets/passwords.json", "600 /opt/airflow/secrets/pgpass"]


def test_the_services_know_no_password_of_the_superuser(compose: Compose) -> None:
    for service in ("api-server", "scheduler", "dag-processor", "triggerer"):
        environment = compose("exec", "-T", service, "env").splitlines()
        assert [line for line in environment if PASSWORD in line] == []


def test_the_source_is_read_by_a_role_that_can_change_nothing(compose: Compose) -> None:
    code = (
        "import os, psycopg\n"
        "with psycopg.connect(os.environ['AIRFLOW_CONN_PROJECT_EXPORT_SOURCE'], autocommit=True) as source:\n"
        "    print(source.execute('SELECT rolsuper FROM pg_roles WHERE rolname = current_user').fetchone())\n"
        "    source.execute('SET default_transaction_read_only = off')\n"
        "    try:\n"
        "        source.execute('DELETE FROM projects')\n"
        "    except psycopg.errors.InsufficientPrivilege:\n"
        "        print('refused')\n"
    )
    assert compose("exec", "-T", "scheduler", "python", "-c", code).splitlines() == ["(False,)", "refused"]


def test_what_runs_is_in_the_image_and_compiled(compose: Compose) -> None:
    code = (
        "from importlib.util import cache_from_source\n"
        "from pathlib import Path\n"
        "import airflow, project_export\n"
        "folders = [Path('/opt/airflow/dags'), *(Path(one.__file__).parent for one in (airflow, project_export))]\n"
        "paths = [path for folder in folders for path in folder.glob('*.py')]\n"
        "print('not compiled:', *(path for path in paths if not Path(cache_from_source(path)).exists()))\n"
        "print(*sorted(path.name for path in folders[0].glob('*.py')))\n"
    )
    said = compose("exec", "-T", "scheduler", "python", "-c", code).splitlines()
    assert said == ["not compiled:", "export_project.py export_projects.py prune_exports.py watch_exports.py"]


@pytest.mark.timeout(1500)
def test_a_scheduler_killed_in_the_middle_of_a_run_goes_on_within_a_minute(compose: Compose, tmp_path: Path) -> None:
    run_id = compose.rest.trigger(DAG_ID, {"project_id": 1})
    until(lambda: compose.attempts(run_id), RUN_SECONDS, "exporting")
    # Its tasks die with it, and Docker starts it again; `docker kill` would count as stopped on purpose.
    compose("exec", "-T", "scheduler", "sh", "-c", "kill -KILL $(cat /proc/1/task/1/children)")
    before = compose.attempts(run_id)

    def again() -> bool:
        return any(attempt > before.get(part, 0) for part, attempt in compose.attempts(run_id).items())

    until(again, RESUME_SECONDS, "exporting again")
    assert compose.end(run_id) == "success"
    assert_right(fetched(compose, run_id, tmp_path))
