"""A real Airflow with the DAG, a sample source and a ledger, and what a test asks of it."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from dev.airflow import REPO, Airflow
from dev.postgres import Server
from dev.rest import Rest
from project_export.ledger import Job, Ledger, make_engine, upgrade
from project_export.sample import schema
from project_export.sample.generate import generate
from tests.databases import locations_of
from tests.datagrams import Metrics
from tests.receiver import Receiver

DAG_ID = "export_project"
CREATE, HOLD, EXPORT, WAIT, MERGE = TASKS = (
    "create_relation_exports",
    "hold_snapshot",
    "export_relation",
    "wait_relation_exports",
    "merge_relation_exports",
)
AFTER, END = "after_export", "end_export"
GRACE_SECONDS = 90
PROJECTS, SCALE = 4, 0.1
SOURCE_ID = "project_export_source"
RUN_SECONDS = 150


class Stage:
    """Airflow reads the source and keeps the ledger as roles of their own, from which a test can take rights.

    state: an empty folder for all files but those of the server. receiver: gets all notices. source_server: has the
    source, if it is not to be the one that has the ledger and Airflow's own database. more: settings of Airflow.
    through: the way by which Airflow reaches source and ledger, as a URI. dags: the folder of DAG files.
    metrics: what it has sent by StatsD, if `more` says so.
    """

    def __init__(
        self,
        state: Path,
        server: Server,
        receiver: Receiver,
        *,
        source_server: Server | None = None,
        more: Mapping[str, str] | None = None,
        through: Callable[[str], str] = lambda uri: uri,
        dags: Path = REPO / "dags",
    ) -> None:
        self.receiver = receiver
        self.store = state / "exports"
        self.files = state / "files"
        self.source = (source_server or server).create_database("stage_sample")
        ledger = server.create_database("stage_ledger")
        self.passwords = {role: secrets.token_urlsafe(24) for role in ("stage_reader", "stage_keeper")}
        for role, where in (("stage_reader", source_server or server), ("stage_keeper", server)):
            with psycopg.connect(where.uri(), autocommit=True) as connection:
                connection.execute(
                    sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                        sql.Identifier(role), sql.Literal(self.passwords[role])
                    )
                )
        with psycopg.connect(server.uri(), autocommit=True) as connection:
            connection.execute("ALTER DATABASE stage_ledger OWNER TO stage_keeper")
        self.ledger_uri = self._as("stage_keeper", ledger)
        self.ledger = Ledger(make_engine(self.ledger_uri))
        settings = {
            "AIRFLOW_CONN_PROJECT_EXPORT_SOURCE": through(self._as("stage_reader", self.source)),
            "AIRFLOW_CONN_PROJECT_EXPORT_LEDGER": through(self.ledger_uri),
            "AIRFLOW_CONN_STAGE_WEBHOOK": f"{receiver.url}/notices",
            "PROJECT_EXPORT_NOTIFY_WEBHOOK": "stage_webhook",
            "PROJECT_EXPORT_UPLOAD_ALLOW_PRIVATE": "true",
            "PROJECT_EXPORT_STORE": self.store.as_uri(),
            "PROJECT_EXPORT_LOCATIONS": locations_of(self.files),
            "PROJECT_EXPORT_GITLAB_VERSION": "18.6.0",
            "PROJECT_EXPORT_GITLAB_REVISION": "41946e65501",
            # Small projects get several units, too.
            "PROJECT_EXPORT_UNITS": "3",
            "PROJECT_EXPORT_UNIT_COST": "20",
            "PROJECT_EXPORT_HEARTBEAT_SECONDS": "1",
            "PROJECT_EXPORT_LOCK_TIMEOUT_SECONDS": "120",
            "PROJECT_EXPORT_SNAPSHOT_GRACE_SECONDS": str(GRACE_SECONDS),
            **(more or {}),
        }
        self.airflow = Airflow(state / "airflow", server, dags=dags, settings=settings)
        self.rest: Rest
        self.metrics: Metrics

    def start(self) -> None:
        """Fill the source, make the ledger's tables and start Airflow."""
        with psycopg.connect(self.source) as connection:
            schema.create(connection)
            generate(connection, PROJECTS, SCALE, files=self.files)
            connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO stage_reader")
        upgrade(make_engine(self.ledger_uri))
        self.airflow.migrate()
        self.airflow.start()
        self.airflow.wait_for_dag(DAG_ID)
        self.rest = self.airflow.rest()

    def stop(self) -> None:
        """Stop Airflow."""
        self.airflow.stop()

    def trigger(self, **conf: Any) -> Run:
        """Trigger a run by POST .../dagRuns."""
        return Run(self, self.rest.trigger(DAG_ID, conf))

    def runs(self) -> list[Run]:
        """Return all runs."""
        runs: list[Run] = []
        while True:
            page = self.rest.call("GET", f"/dags/{DAG_ID}/dagRuns?limit=100&offset={len(runs)}&order_by=id")
            runs += [Run(self, run["dag_run_id"]) for run in page["dag_runs"]]
            if len(runs) >= page["total_entries"] or not page["dag_runs"]:
                return runs

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement on the source as its superuser; return the rows if it has any."""
        with psycopg.connect(self.source, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def locked(self, table: str) -> Iterator[None]:
        """Keep everybody from reading a table of the source."""
        with psycopg.connect(self.source) as connection:
            connection.execute(sql.SQL("LOCK TABLE {}").format(sql.Identifier(table)))
            yield

    def sessions(self, waiting: bool = False) -> list[str]:
        """Return the names of the project's sessions on the source; waiting: of those alone that wait for a lock."""
        query = (
            "SELECT application_name FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name LIKE 'project_export %%'"
        )
        return [name for (name,) in self.sql(query + (" AND wait_event_type = 'Lock'" if waiting else ""))]

    def job_folders(self, project_id: int) -> list[Path]:
        """Return the folders of a project's jobs in the store, oldest first."""
        return sorted((self.store / SOURCE_ID / str(project_id)).glob("*"), key=lambda folder: int(folder.name))

    def _as(self, role: str, uri: str) -> str:
        parts = urlsplit(uri)
        return urlunsplit(parts._replace(netloc=f"{role}:{self.passwords[role]}@{parts.hostname}:{parts.port}"))


@dataclass(frozen=True)
class Run:
    """One run of the DAG."""

    stage: Stage
    id: str

    def ended(self, seconds: float = RUN_SECONDS) -> str:
        """Wait for the end of the run and return its state."""
        return self.stage.rest.wait_for_run(DAG_ID, self.id, seconds)

    def states(self) -> dict[str, str]:
        """Return the state of each task, of a mapped one by `task_id[index]`."""
        return self.stage.rest.task_states(DAG_ID, self.id)

    def tasks(self) -> list[Mapping[str, Any]]:
        """Return Airflow's whole answer about each task instance."""
        return list(self.get("taskInstances?limit=100")["task_instances"])

    def log(self, task_id: str) -> str:
        """Return what the log of a task says and raises, of all its tries and mapped instances."""
        lines: list[str] = []
        for task in self.tasks():
            for number in range(1, task["try_number"] + 1) if task["task_id"] == task_id else ():
                where = f"taskInstances/{task_id}/logs/{number}?map_index={task['map_index']}"
                for line in self.get(where)["content"]:
                    lines += [line["event"], *(error["exc_value"] for error in line.get("error_detail") or ())]
        return "\n".join(lines)

    def xcoms(self, task_id: str) -> dict[str, Any]:
        """Return the XComs of a task by key, of a mapped one by `key[index]`."""
        found = {}
        for entry in self.get(f"taskInstances/{task_id}/xcomEntries?limit=100")["xcom_entries"]:
            index = entry["map_index"]
            where = f"taskInstances/{task_id}/xcomEntries/{entry['key']}?map_index={index}"
            found[entry["key"] + (f"[{index}]" if index >= 0 else "")] = self.get(where)["value"]
        return found

    def get(self, path: str = "") -> dict[str, Any]:
        """Ask Airflow's API for this run, or for something below it."""
        return self.stage.rest.call("GET", f"/dags/{DAG_ID}/dagRuns/{self.id}/{path}".rstrip("/"))

    def clear(self, **which: Any) -> None:
        """Clear tasks of the run; which: what the API calls only_failed, task_ids, include_downstream, ..."""
        body = {"dry_run": False, "dag_run_id": self.id, "only_failed": False, **which}
        self.stage.rest.call("POST", f"/dags/{DAG_ID}/clearTaskInstances", body)

    def job(self) -> Job:
        """Return the job of the run."""
        job = self.stage.ledger.queries.job_of_run(f"{DAG_ID}/{self.id}")
        assert job is not None
        return job

    def notices(self) -> list[dict[str, Any]]:
        """Return the notices about the run's job."""
        posted = [json.loads(one.body) for one in self.stage.receiver.received if one.target == "/notices"]
        return [notice for notice in posted if notice["run_id"] == f"{DAG_ID}/{self.id}"]

    def archive(self) -> Path:
        """Return the path of the published archive."""
        return Path(urlsplit(self.job().archive_uri or "").path)


def until(condition: Callable[[], object], seconds: float = 60) -> float:
    """Wait until a condition holds; return the seconds it took."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < seconds, f"not so after {seconds} s"
        time.sleep(0.1)
    return time.monotonic() - begun
