"""A PgBouncer before a test's PostgreSQL server, and clients of it that litter."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.sql import SQL, Identifier, Literal

from dev.postgres import free_port
from tests.runs import wait_until

MODES = ("transaction", "session", "statement")
SIZE = 8
"""Connections to the server for all clients of a pooler."""
THEIRS = {
    "bytea_output": "escape",
    "DateStyle": "German, DMY",
    "default_transaction_isolation": "serializable",
    "default_transaction_read_only": "on",
    "extra_float_digits": "-15",
    "idle_in_transaction_session_timeout": "19min",
    "IntervalStyle": "iso_8601",
    "lock_timeout": "17min",
    "row_security": "on",
    "search_path": "decoy",
    "statement_timeout": "13min",
    "synchronous_commit": "off",
    "TimeZone": "Asia/Kolkata",
    "transaction_timeout": "11min",
}
"""What other clients leave in the server's sessions."""


@contextmanager
def bouncing(uri: str, folder: Path, mode: str = "transaction", size: int = SIZE) -> Iterator[str]:
    """Give the way through a PgBouncer to the database of a URI, as a DSN; it ends with the block.

    folder: of its own, is made. mode: one of MODES. size: connections to the server.
    Skips the test where the program is missing.
    """
    program = shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")
    if program is None:
        pytest.skip("no pgbouncer here; it comes with the package of that name")
    to = conninfo_to_dict(uri)
    port = free_port()
    folder.mkdir()
    (folder / "users").write_text(f'"{to["user"]}" "{to["password"]}"\n')
    (folder / "ini").write_text(
        f"""[databases]
{to["dbname"]} = host={to["host"]} port={to["port"]} user={to["user"]} password={to["password"]}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users
pool_mode = {mode}
default_pool_size = {size}
max_client_conn = 500
"""
    )
    # It does not run as root; its files are read before it becomes another user.
    user = ["-u", pwd.getpwnam("nobody").pw_name] if os.geteuid() == 0 else []
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([program, *user, str(folder / "ini")], stdout=log, stderr=subprocess.STDOUT)
    dsn = make_conninfo(uri, host="127.0.0.1", port=port)
    try:
        wait_until(lambda: process.poll() is not None or _answers(dsn))
        assert process.poll() is None, (folder / "log").read_text()
        yield dsn
    finally:
        process.terminate()
        process.wait(10)


def settings(connection: psycopg.Connection[Any]) -> dict[str, str]:
    """Return the settings of a connection that THEIRS change, and its role."""
    rows = connection.execute("SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY(%s)", [[*THEIRS]])
    return {**dict(rows.fetchall()), "role": connection.execute("SHOW role").fetchone()[0]}  # type: ignore[index]


def fresh(database: str) -> dict[str, str]:
    """Return them as a new session has them."""
    with psycopg.connect(database, autocommit=True) as connection:
        return settings(connection)


def litter(connection: psycopg.Connection[Any], role: str) -> None:
    """Leave in the server's sessions whatever a client can leave there."""
    with suppress(psycopg.errors.ReadOnlySqlTransaction):  # that is what another one has left
        connection.execute("CREATE TEMPORARY TABLE IF NOT EXISTS relation_export (id int)")
        connection.execute("CREATE TEMPORARY TABLE IF NOT EXISTS issues (id int)")
    for name, value in THEIRS.items():
        connection.execute(SQL("SET {} TO {}").format(Identifier(name), Literal(value)))
    connection.execute(SQL("SET ROLE {}").format(Identifier(role)))


@contextmanager
def everywhere(dsn: str) -> Iterator[list[psycopg.Connection[Any]]]:
    """Give a client on each of the pooler's connections to the server, in a transaction."""
    with ExitStack() as stack:
        clients = [stack.enter_context(closing(psycopg.connect(dsn))) for _ in range(SIZE)]
        pids = {client.execute("SELECT pg_backend_pid()").fetchone() for client in clients}
        assert len(pids) == SIZE
        yield clients


@contextmanager
def neighbours(dsn: str, role: str, allowed: list[dict[str, str]]) -> Iterator[list[int]]:
    """Litter, and look at every setting, in four clients until the block ends; then there was nothing of ours."""
    done = threading.Event()
    seen: list[dict[str, str]] = []
    looked = [0]

    def live() -> None:
        while not done.is_set():
            with psycopg.connect(dsn, autocommit=True) as connection:
                seen.append(settings(connection))
                litter(connection, role)
                looked[0] += 1

    with ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(live) for _ in range(4)]
        try:
            wait_until(lambda: looked[0] > SIZE or any(client.done() for client in clients))
            yield looked
        finally:
            done.set()
        for client in clients:
            client.result()
    known = {name: {values[name] for values in allowed} for name in allowed[0]}
    strange = {(name, value) for one in seen for name, value in one.items() if value not in known[name]}
    assert strange == set()


def _answers(dsn: str) -> bool:
    try:
        psycopg.connect(dsn, autocommit=True, connect_timeout=1).close()
    except psycopg.OperationalError:
        return False
    return True
