"""A real, private Airflow: API server, scheduler, DAG processor and triggerer on a PostgreSQL of `dev.postgres`."""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path

from dev import processes
from dev.postgres import Server, free_port
from dev.rest import Rest

REPO = Path(__file__).resolve().parents[1]
COMPONENTS = {
    "api-server": ["api-server"],
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}
HEALTH = ("metadatabase", "scheduler", "triggerer", "dag_processor")
USERS = {"admin": "everything", "op": "run exports, see connections", "user": "run exports", "viewer": "look"}
"""Users and what they may do; each has the role of the same name."""
POOL = "project_export"
POOL_SLOTS = 2 * (os.cpu_count() or 1)
START_SECONDS = 180
DAG_SECONDS = 90
STOP_SECONDS = 8
IDLE_SECONDS = 60
"""Time after which a session of the scheduler is ended if it does nothing in a transaction."""
LOG_LINES = 30


class AirflowError(RuntimeError):
    """Airflow cannot be set up or does not run; the message has the end of the log."""


class Airflow:
    """One Airflow with all its files in one folder: run/ (working folder), logs/, secrets.json.

    Any process may make an `Airflow` of the same folder, and finds the one that runs there.

    state: the folder; it is created if missing.
    postgres: a running server; Airflow uses its database `airflow`.
    dags: the folder of DAG files.
    settings: environment variables for Airflow's processes, in addition to or instead of the usual ones.
    """

    def __init__(
        self,
        state: Path,
        postgres: Server,
        *,
        dags: Path = REPO / "dags",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.state = state.resolve()
        self.logs = self.state / "logs"
        self._run = self.state / "run"
        self._postgres = postgres
        self._dags = dags.resolve()
        self._settings = dict(settings or {})
        self._python = Path(sys.executable).resolve()

    def migrate(self) -> None:
        """Create or upgrade Airflow's database; raise AirflowError with the end of the log."""
        self._postgres.create_database("airflow")
        self._run.mkdir(parents=True, exist_ok=True)
        self.logs.mkdir(exist_ok=True)
        with self._log("migrate").open("w") as log:
            command = [sys.executable, "-m", "airflow", "db", "migrate"]
            done = processes.run(command, environment=self.environment(), folder=self._run, output=log)
        if done.returncode != 0:
            raise AirflowError(
                f"`airflow db migrate` failed with exit code {done.returncode}:\n{self._tail('migrate')}"
            )

    def start(self) -> None:
        """Start all components of a migrated Airflow; return when they are healthy and the pool exists.

        No component may be running yet. Raise AirflowError, after stopping all components again.
        """
        self._keep(port=free_port(), started=int(time.time()))
        started = {}
        try:
            for name, arguments in COMPONENTS.items():
                with self._log(name).open("w") as log:
                    started[name] = subprocess.Popen(
                        [sys.executable, "-m", "airflow", *arguments],
                        env=self.environment(name),
                        cwd=self._run,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        start_new_session=True,
                    )
            self._wait_until_healthy(started)
            self.rest().make_pool(POOL, POOL_SLOTS, "Tasks that export relations.")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End every process of this Airflow, including running tasks, if there are any. Raise AirflowError."""
        if left := processes.end(self._run, self._python, STOP_SECONDS):
            raise AirflowError(f"Airflow's processes {[process.pid for process in left]} could not be stopped.")

    def healthy(self) -> bool:
        """Return whether all components run and report that they are healthy."""
        if not self._secrets_file.exists() or not processes.working_in(self._run, self._python):
            return False
        return not _unwell(self.rest())

    def wait_for_dag(self, dag_id: str, seconds: float = DAG_SECONDS) -> None:
        """Wait until this Airflow has parsed the DAG since its start; raise AirflowError with the reason otherwise."""
        rest = self.rest()
        started = datetime.fromtimestamp(int(self._kept()["started"]), timezone.utc)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            dag = rest.dag(dag_id)
            if dag and not dag["has_import_errors"] and _instant(dag["last_parsed_time"]) >= started:
                return
            if errors := rest.import_errors():
                raise AirflowError("Airflow cannot read the DAG files:\n" + "\n".join(errors))
            time.sleep(0.5)
        raise AirflowError(
            f"Airflow did not find the DAG {dag_id} within {seconds:g} s:\n{self._tail('dag-processor')}"
        )

    def rest(self, username: str = "admin") -> Rest:
        """Return a client of the REST API for one of the users admin, op, user, viewer."""
        return Rest(self.url, username, self.password(username))

    @property
    def url(self) -> str:
        """The address of the UI and the API."""
        return f"http://127.0.0.1:{self._kept()['port']}"

    def password(self, username: str) -> str:
        """Return the generated password of one of the users admin, op, user, viewer."""
        return str(json.loads(self._passwords_file.read_text())[username])

    def environment(self, component: str = "") -> dict[str, str]:
        """Return the environment of a component of this Airflow, or of its other programs; tasks have the scheduler's.

        A scheduler that dies may leave a session that has locked a run, because its tasks and idle workers were forked
        with it and keep the socket open. So the database ends such a session. That of `airflow db migrate` may be idle
        in a transaction for longer: it holds a lock while another one works (airflow/utils/db.py#create_global_lock).
        """
        kept = self._kept()
        port = kept.get("port", 8080)
        limit = f"?options=-cidle_in_transaction_session_timeout={IDLE_SECONDS}s" if component == "scheduler" else ""
        bundle = {
            "name": "project-export",
            "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
            "kwargs": {"path": str(self._dags)},
        }
        path = [str(REPO / "include"), str(REPO / "dev" / "config"), os.environ.get("PYTHONPATH", "")]
        mine = {
            "PYTHONPATH": os.pathsep.join(filter(None, path)),
            "AIRFLOW_HOME": str(self.state),
            "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__SECRET_KEY": str(kept["secret_key"]),
            "AIRFLOW__API_AUTH__JWT_SECRET": str(kept["jwt_secret"]),
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(self._dags),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__FERNET_KEY": str(kept["fernet_key"]),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            # Only forked tasks of the LocalExecutor inherit the modules that the scheduler has loaded.
            "AIRFLOW__CORE__MP_START_METHOD": "fork",
            # Exports may fill their pool; two more slots are for a waiter or merge, or for another run's first task.
            "AIRFLOW__CORE__PARALLELISM": str(POOL_SLOTS + 2),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(REPO / "plugins"),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self._passwords_file),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{user}:{user}" for user in USERS),
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle]),
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": _sqlalchemy(self._postgres.uri("airflow")) + limit,
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self.logs),
            # A run takes about ten loops of the scheduler, which sleeps a second between them by default.
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
            # How often to look for tasks of a dead scheduler, which are idle until then. The default is 300.
            "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "30",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            # A finished task keeps its slot for up to this many seconds; the default is 5.
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        return inherited | mine | self._settings

    def _wait_until_healthy(self, started: Mapping[str, subprocess.Popen[bytes]]) -> None:
        deadline = time.monotonic() + START_SECONDS
        rest = self.rest()
        while unwell := _unwell(rest):
            for name, process in started.items():
                if process.poll() is not None:
                    log = self._tail(name)
                    raise AirflowError(f"Airflow's {name} ended with exit code {process.returncode}:\n{log}")
            if time.monotonic() > deadline:
                logs = "\n".join(f"{name}:\n{self._tail(name)}" for name in COMPONENTS)
                raise AirflowError(f"Airflow is not healthy after {START_SECONDS} s ({', '.join(unwell)}):\n{logs}")
            time.sleep(0.3)

    @property
    def _secrets_file(self) -> Path:
        return self.state / "secrets.json"

    @property
    def _passwords_file(self) -> Path:
        return self.state / "passwords.json"

    def _kept(self) -> dict[str, str | int]:
        """Return the values that all processes share, also after a restart; they are made on first use."""
        if not self._secrets_file.exists():
            self.state.mkdir(parents=True, exist_ok=True)
            _write_private(self._passwords_file, {user: secrets.token_urlsafe(12) for user in USERS})
            made = {name: secrets.token_hex(32) for name in ("secret_key", "jwt_secret")}
            made["fernet_key"] = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
            _write_private(self._secrets_file, made)
        kept: dict[str, str | int] = json.loads(self._secrets_file.read_text())
        return kept

    def _keep(self, **values: str | int) -> None:
        _write_private(self._secrets_file, self._kept() | values)

    def _log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def _tail(self, name: str) -> str:
        lines = self._log(name).read_text(errors="replace").splitlines()[-LOG_LINES:]
        return "\n".join([*lines, f"(full log: {self._log(name)})"])


def _unwell(rest: Rest) -> list[str]:
    health = rest.health()
    return [name for name in HEALTH if health.get(name) != "healthy"]


def _write_private(path: Path, content: Mapping[str, str | int]) -> None:
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps(content))
    fresh.replace(path)


def _instant(text: str) -> datetime:
    # Python 3.10 cannot parse the Z.
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def _sqlalchemy(uri: str) -> str:
    return uri.replace("postgresql://", "postgresql+psycopg2://", 1)
