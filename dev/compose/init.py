"""What has to be done once before the services of docker-compose.yaml start; harmless when it was done before."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import psycopg

from project_export.ledger import make_engine, upgrade

PROJECTS = "2"


def main() -> None:
    """Set the password, migrate both databases, make the pool, and fill an empty sample source."""
    passwords = Path(os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
    passwords.write_text(json.dumps({"admin": os.environ["AIRFLOW_ADMIN_PASSWORD"]}))
    run("airflow", "db", "migrate")
    upgrade(make_engine(os.environ["AIRFLOW_CONN_PROJECT_EXPORT_LEDGER"]))
    run("airflow", "pools", "set", "project_export", "4", "Tasks that export relations.")
    sample = os.environ["AIRFLOW_CONN_PROJECT_EXPORT_SOURCE"]
    if sample.endswith("@postgres/sample") and empty(sample):
        run("project-export", "sample", "schema", "--dsn", sample)
        run("project-export", "sample", "generate", "--dsn", sample, "--projects", PROJECTS, "--scale", "1")


def empty(dsn: str) -> bool:
    """Tell whether a database has no table of ours."""
    with psycopg.connect(dsn) as connection:
        row = connection.execute("SELECT to_regclass('public.projects') IS NULL").fetchone()
    return bool(row and row[0])


def run(*command: str) -> None:
    """Run a command; raise CalledProcessError when it fails."""
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
