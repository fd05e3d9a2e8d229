"""The setup before the services of docker-compose.yaml start. It may run any number of times.

The services connect with URIs that have no password, because @ or / in it would need encoding. libpq finds the
passwords in the file that PGPASSFILE names.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier

from dev.roles import make_reader, make_role
from project_export.ledger import make_engine, upgrade

HOST = "postgres"
OWNERS = {"airflow": "airflow", "ledger": "ledger"}
"""Role by database: each owns its database and cannot access the tables of another."""
SAMPLE, READER = "sample", "reader"
PROJECTS = "2"
FILES = "/opt/airflow/files"
"""The folder of repositories, uploads and LFS objects of the sample."""


def main() -> None:
    """Create roles, databases, password files and the pool, migrate both databases, and fill an empty sample source."""
    superuser = os.environ.pop("POSTGRES_PASSWORD")
    passwords = {role: password(superuser, role) for role in (*OWNERS.values(), READER)}
    write_private(
        os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"],
        json.dumps({"admin": os.environ.pop("AIRFLOW_ADMIN_PASSWORD")}),
    )
    write_private(os.environ["PGPASSFILE"], passfile(passwords, os.environ.pop("PROJECT_EXPORT_SOURCE_PASSWORD", "")))
    make_databases(superuser, passwords)
    run("airflow", "db", "migrate")
    upgrade(make_engine(os.environ["AIRFLOW_CONN_PROJECT_EXPORT_LEDGER"]))
    run("airflow", "pools", "set", "project_export", "4", "Tasks that export relations.")
    if os.environ["AIRFLOW_CONN_PROJECT_EXPORT_SOURCE"] == f"postgresql://{READER}@{HOST}/{SAMPLE}":
        fill_sample(superuser)


def password(superuser: str, role: str) -> str:
    """Return the password of a role: always the same, and useless for finding that of another role."""
    return hmac.new(superuser.encode(), role.encode(), hashlib.sha256).hexdigest()


def passfile(passwords: dict[str, str], source_password: str) -> str:
    r"""Return the content of a libpq password file; the first matching line counts.

    >>> print(passfile({"airflow": "abc"}, r"p:a\s@s/"))
    postgres:*:*:airflow:abc
    *:*:*:*:p\:a\\s@s/
    """
    lines = [f"{HOST}:*:*:{role}:{secret}" for role, secret in passwords.items()]
    if source_password:
        escaped = source_password.replace("\\", "\\\\").replace(":", "\\:")
        lines.append(f"*:*:*:*:{escaped}")
    return "\n".join(lines)


def make_databases(superuser: str, passwords: dict[str, str]) -> None:
    """Create missing roles and databases."""
    with connect(superuser, "postgres") as connection:
        for role in OWNERS.values():
            make_role(connection, role, passwords[role])
        make_reader(connection, READER, passwords[READER])
        there = {name for (name,) in connection.execute("SELECT datname FROM pg_database")}
        for name in (*OWNERS, SAMPLE):
            if name not in there:
                owner = SQL(" OWNER {}").format(Identifier(OWNERS[name])) if name in OWNERS else SQL("")
                connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)) + owner)


def fill_sample(superuser: str) -> None:
    """Create the tables and projects that the sample source lacks; projects with their repositories and files."""
    dsn = f"postgresql://postgres@{HOST}/{SAMPLE}"
    with connect(superuser, SAMPLE) as connection:
        tables = connection.execute("SELECT to_regclass('public.projects')").fetchone() != (None,)
        filled = tables and connection.execute("SELECT EXISTS (SELECT FROM public.projects)").fetchone() == (True,)
    sample = {"PGPASSWORD": superuser}
    if not tables:
        run("project-export", "sample", "schema", "--dsn", dsn, **sample)
    if not filled:
        scale = os.environ["SAMPLE_SCALE"]
        generate = ("generate", "--dsn", dsn, "--projects", PROJECTS, "--scale", scale, "--files", FILES)
        run("project-export", "sample", *generate, **sample)


def connect(superuser: str, database: str) -> psycopg.Connection[Any]:
    """Connect as the superuser."""
    return psycopg.connect(host=HOST, user="postgres", password=superuser, dbname=database, autocommit=True)


def write_private(path: str, content: str) -> None:
    """Write a file that only its owner may read, in one atomic step."""
    fresh = Path(f"{path}.new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_text(content)
    fresh.replace(path)


def run(*command: str, **environment: str) -> None:
    """Run a command; raise CalledProcessError if it fails."""
    subprocess.run(command, check=True, env={**os.environ, **environment})


if __name__ == "__main__":
    main()
