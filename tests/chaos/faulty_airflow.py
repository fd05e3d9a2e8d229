"""A real Airflow that faults are injected into: its processes are killed, its tasks blocked, its disk filled."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg

from dev import processes
from dev.airflow import COMPONENTS
from dev.postgres import Server
from project_export.archive.manifest import Manifest
from project_export.ledger import Row
from tests.chaos.attics import SlowGit
from tests.chaos.hooks.sitecustomize import HOOK
from tests.chaos.invariants import Invariants, Undisturbed, digest
from tests.conftest import REPO
from tests.dags.stage import SOURCE_ID, Run, Stage, until
from tests.databases import locations_of
from tests.receiver import Receiver

PROJECTS = (1, 2, 3)
RELATION, TABLE = "boards", "lists"
"""The relation that is blocked, and the table whose lock blocks it."""
POOL = "default_pool"
PATH = ("tests/chaos/hooks", "include", "dev/config")
STORE_SIZE = "48m"
UNITS = 3
"""Airflow refuses to map more workers than this; all exports here ask for more."""
HUNG_SECONDS = 15
TASK_SECONDS = 15
"""Time without a heartbeat after which Airflow considers a task dead."""


class FaultyAirflow(Stage, Invariants):
    """A stage whose source has its own server, and whose store is a small file system where that is possible.

    facts: see `Undisturbed`. git: that its tasks call. temporary: the folder for its temporary files.
    """

    def __init__(self, state: Path, server: Server, receiver: Receiver, source_server: Server, facts: Path) -> None:
        more = {
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(TASK_SECONDS),
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
            "AIRFLOW__CORE__MAX_MAP_LENGTH": str(UNITS),
            "PROJECT_EXPORT_UNITS": str(4 * UNITS),
            "PROJECT_EXPORT_HUNG_SECONDS": str(HUNG_SECONDS),
            # All tasks are in one pool, whose number of slots a test can set.
            "PROJECT_EXPORT_POOL": POOL,
            "PYTHONPATH": os.pathsep.join(str(REPO / folder) for folder in PATH),
            "PATH": os.pathsep.join((str(state / "slow_git"), os.environ["PATH"])),
            "TMPDIR": str(state / "temporary"),
            HOOK: str(state / "hook"),
        }
        self.temporary = state / "temporary"
        self._hook = state / "hook"
        self._hook.touch()
        self.temporary.mkdir()
        self.git = SlowGit(state / "slow_git")
        super().__init__(state, server, receiver, source_server=source_server, more=more)
        self.source_server = source_server
        self._database = server.uri("airflow")
        self.small = self._mount()
        self.undisturbed = Undisturbed(self.source, state / "undisturbed", facts, locations_of(self.files))

    def start(self) -> None:
        """Start everything, and export every project once, so that each has a good archive."""
        super().start()
        runs = [self.trigger(project_id=project) for project in PROJECTS]
        assert {run.ended() for run in runs} == {"success"}

    def stop(self) -> None:
        """Stop Airflow, and unmount the store."""
        super().stop()
        if self.small:
            subprocess.run(["umount", str(self.store)], check=True)

    def assert_whole(self, run: Run, *relations: str) -> Manifest:
        """Assert that a run succeeded with the same archive as an undisturbed run; return its manifest."""
        assert run.ended() == "success", run.states()
        job = run.job()
        assert (job.state, job.archive_sha256) == ("finished", digest(run.archive()))
        return self.undisturbed.assert_same(run.archive(), job.project_id, relations)

    def folder(self, run: Run) -> Path:
        """Return the folder of a run's job in the store."""
        job = run.job()
        return self.store / SOURCE_ID / str(job.project_id) / str(job.id)

    def rows(self, run: Run) -> dict[str, Row]:
        """Return the rows of a run's job by relation; there are no split relations here."""
        return {row.relation: row for row in self.ledger.queries.rows(run.job().id)}

    def attempts(self, run: Run) -> dict[str, int]:
        """Return the attempts of the relations that took more than one."""
        return {name: row.attempt for name, row in self.rows(run).items() if row.attempt > 1}

    @contextmanager
    def blocked(self, **conf: Any) -> Iterator[tuple[Run, psutil.Process]]:
        """Trigger a run; give it, and the process of its task that waits to read RELATION until the block ends."""
        with self.locked(TABLE):
            run = self.trigger(**conf)
            yield run, self.reader()

    def reader(self) -> psutil.Process:
        """Wait until RELATION is blocked by a lock, and return the task's process that reads it."""
        query = (
            "SELECT client_port FROM pg_stat_activity WHERE datname = current_database()"
            " AND wait_event_type = 'Lock' AND application_name LIKE %s"
        )
        until(lambda: self.sql(query, f"project_export % {RELATION}"))
        ports = {port for (port,) in self.sql(query, f"project_export % {RELATION}")}
        (process,) = (process for process in self.processes() if ports & _ports(process))
        return process

    def processes(self) -> list[psutil.Process]:
        """Return all processes of this Airflow."""
        return processes.working_in(self.airflow.state / "run", Path(sys.executable).resolve())

    def kill_scheduler(self, *, locking: bool) -> None:
        """Kill the scheduler's own process; its executor's workers are left as orphans.

        locking: kill it while it has locked all runs that are running. The orphans then keep them locked.
        """
        (scheduler,) = (
            process
            for process in self.processes()
            if process.ppid() == os.getpid() and "scheduler" in " ".join(process.cmdline())
        )
        with psycopg.connect(self._database, autocommit=True) as connection:

            def locked() -> bool:
                found = "SELECT FROM dag_run WHERE state = 'running' FOR UPDATE SKIP LOCKED"
                return not connection.execute(found).fetchall()

            def stopped_while_it_locks() -> bool:
                scheduler.resume()
                time.sleep(0.01)
                scheduler.suspend()
                time.sleep(0.01)  # its last statement ends
                return locked()

            if locking:
                until(stopped_while_it_locks)
            scheduler.kill()
            scheduler.wait(10)
            assert not locking or locked()

    def start_scheduler(self) -> None:
        """Start another scheduler."""
        with (self.airflow.logs / "scheduler-again.log").open("w") as log:
            subprocess.Popen(
                [sys.executable, "-m", "airflow", *COMPONENTS["scheduler"]],
                env=self.airflow.environment("scheduler"),
                cwd=self.airflow.state / "run",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @contextmanager
    def raising(self, place: str) -> Iterator[None]:
        """Let tasks raise a RuntimeError at a place of `hooks` while the block lasts."""
        self._hook.write_text(place)
        try:
            yield
        finally:
            self._hook.write_text("")

    @contextmanager
    def one_slot(self) -> Iterator[None]:
        """Give all tasks one slot together, which a deferred one occupies, too, while the block lasts."""
        before = self.rest.call("GET", f"/pools/{POOL}")
        self._pool(slots=1, include_deferred=True)
        try:
            yield
        finally:
            self._pool(slots=before["slots"], include_deferred=before["include_deferred"])

    def _pool(self, **settings: Any) -> None:
        fields = "&".join(f"update_mask={name}" for name in settings)
        self.rest.call("PATCH", f"/pools/{POOL}?{fields}", {"pool": POOL, **settings})

    @contextmanager
    def full(self) -> Iterator[None]:
        """Fill the store to its last byte, which only a small one allows."""
        assert self.small
        ballast = self.store / "ballast"
        try:
            with ballast.open("wb", buffering=0) as file:
                for size in (1 << 20, 1):
                    block = bytes(size)
                    try:
                        while file.write(block) == size:
                            pass
                    except OSError:
                        continue
            yield
        finally:
            ballast.unlink()

    def _mount(self) -> bool:
        self.store.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={STORE_SIZE}", "tmpfs", str(self.store)]
        return os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0


def _ports(process: psutil.Process) -> set[int]:
    try:
        return {connection.laddr.port for connection in process.net_connections() if connection.laddr}
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return set()
