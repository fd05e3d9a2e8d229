"""The whole environment of the project, in one folder: PostgreSQL, the ledger, a sample source, and Airflow."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path

from dev import processes
from dev.airflow import POOL_SLOTS, REPO, Airflow
from dev.postgres import Server
from dev.progress import Growing
from project_export import ledger

DAG_ID = "export_project"
READER = "reader"
PROJECTS = 2
GITLAB_VERSION = "19.5.0"
GITLAB_REVISION = "41946e65501"


class StackError(RuntimeError):
    """The environment cannot be created or used; the message says why."""


class Stack:
    """The environment of one state folder.

    state: the folder; say: called with each step as it starts; more: settings of the project that differ from the
    defaults; growing: shows the progress of a long step, as `dev.progress.growing` does.
    """

    def __init__(
        self,
        state: Path,
        say: Callable[[str], None],
        more: Mapping[str, str] | None = None,
        growing: Growing | None = None,
    ) -> None:
        self.state = state.resolve()
        self.postgres = Server(self.state / "postgres")
        self._say = say
        self._growing = growing or (lambda title, size: nullcontext())
        self._more = dict(more or {})
        self._kept_up = self.state / "up"
        self._sample_made = self.state / "sample.json"

    @property
    def airflow(self) -> Airflow:
        """Airflow with the settings of this project; PostgreSQL must be running when they are used."""
        return Airflow(self.state / "airflow", self.postgres, settings=self._settings)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock this environment, to start, use or stop it; raise StackError if another process has locked it."""
        self.state.mkdir(parents=True, exist_ok=True)
        with (self.state / "lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                lock.seek(0)
                owner = lock.read() or "another process"
                raise StackError(
                    f"{owner} is using {self.state}. Wait for it to end, or stop it with Ctrl-C."
                ) from error
            lock.truncate(0)
            lock.write(f"`python {' '.join(sys.orig_argv[1:])}` (process {os.getpid()})")
            lock.flush()
            yield

    def kept_up(self) -> bool:
        """Return whether an environment was left running here on purpose."""
        return self._kept_up.exists() and self.postgres.running() and self.airflow.healthy()

    def keep_up(self) -> None:
        """Note that this environment stays running on purpose."""
        self._kept_up.touch()

    def start(self) -> None:
        """Start everything, after stopping whatever an interrupted command left running."""
        self.stop()
        self._say("Starting PostgreSQL")
        self.postgres.start()
        self.postgres.make_reader(READER)
        self._say("Migrating the databases of the ledger and of Airflow")
        ledger.upgrade(ledger.make_engine(self.postgres.create_database("ledger")))
        airflow = self.airflow
        airflow.migrate()
        self._say("Starting Airflow")
        airflow.start()
        airflow.wait_for_dag(DAG_ID)
        self._cancel_interrupted_runs()

    def sample_scale(self) -> float | None:
        """Return the scale of the existing sample; None if there is none."""
        return float(json.loads(self._sample_made.read_text())["scale"]) if self._sample_made.exists() else None

    def make_sample(self, scale: float, projects: int = PROJECTS) -> None:
        """Fill the database `sample`, unless it already has what the generator would make."""
        wanted = json.dumps({"scale": scale, "projects": projects, "generator": _fingerprint()})
        if self._sample_made.exists() and self._sample_made.read_text() == wanted:
            return
        self._say(f"Generating the sample source (scale {scale:g})")
        self._sample_made.unlink(missing_ok=True)
        self.postgres.drop_database("sample")
        dsn = self.postgres.create_database("sample")
        self._project_export("sample", "schema", "--dsn", dsn)
        generate = ["sample", "generate", "--dsn", dsn, "--projects", str(projects), "--scale", f"{scale:g}"]
        generate += ["--files", str(self.files)]
        with self._growing("sample", lambda: self.postgres.size_bytes("sample")):
            self._project_export(*generate)
        self._sample_made.write_text(wanted)

    def stop(self) -> None:
        """Stop everything that runs, in whatever state it is."""
        self._kept_up.unlink(missing_ok=True)
        try:
            self.airflow.stop()
        finally:
            self.postgres.stop()

    def _cancel_interrupted_runs(self) -> None:
        """Fail the runs that were running when this environment was last stopped; nobody waits for them any more.

        The next run of the same project takes over their jobs in the ledger.
        """
        rest = self.airflow.rest()
        for run_id in rest.unfinished_runs(DAG_ID):
            self._say(f"Cancelling the interrupted run {run_id}")
            rest.fail_run(DAG_ID, run_id)

    @property
    def source_uri(self) -> str:
        """The URI of the sample source, with the role that exports use and that can change nothing."""
        return self.postgres.uri("sample", READER)

    @property
    def ledger_uri(self) -> str:
        """The URI of the ledger."""
        return self.postgres.uri("ledger")

    @property
    def files(self) -> Path:
        """The folder of the sample's repositories, uploads and LFS objects."""
        return self.state / "files"

    @property
    def exports(self) -> Path:
        """The folder of parts and archives."""
        return self.state / "exports"

    @property
    def _locations(self) -> dict[str, str]:
        """Where the sample keeps what is not in its database."""
        folders = {"repositories": "repositories", "uploads": "uploads", "lfs_objects": "lfs-objects"}
        return {name: (self.files / folder).as_uri() for name, folder in folders.items()}

    @property
    def _settings(self) -> dict[str, str]:
        if not self.postgres.running():
            return {}
        self.exports.mkdir(exist_ok=True)
        return {
            "AIRFLOW_CONN_PROJECT_EXPORT_SOURCE": self.source_uri,
            "AIRFLOW_CONN_PROJECT_EXPORT_LEDGER": self.ledger_uri,
            "PROJECT_EXPORT_STORE": self.exports.as_uri(),
            "PROJECT_EXPORT_LOCATIONS": ", ".join(f"{name}={uri}" for name, uri in self._locations.items()),
            "PROJECT_EXPORT_GITLAB_VERSION": GITLAB_VERSION,
            "PROJECT_EXPORT_GITLAB_REVISION": GITLAB_REVISION,
            "PROJECT_EXPORT_UNITS": str(POOL_SLOTS),
            **self._more,
        }

    def _project_export(self, *arguments: str) -> None:
        program = Path(sys.executable).parent / "project-export"
        done = processes.run([program, *arguments])
        if done.returncode != 0:
            raise StackError(f"`project-export {' '.join(arguments[:2])}` failed with exit code {done.returncode}.")


def _fingerprint() -> str:
    """Return a digest of the generator, because a changed generator makes different data."""
    digest = hashlib.sha256()
    for path in sorted((REPO / "include" / "project_export" / "sample").iterdir()):
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()
