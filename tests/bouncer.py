"""A PgBouncer before a test's PostgreSQL server."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from runs import wait_until

from dev.postgres import free_port

MODES = ("transaction", "session", "statement")


@contextmanager
def bouncing(uri: str, folder: Path, mode: str = "transaction", size: int = 20) -> Iterator[str]:
    """Give the way through a PgBouncer to the database of a URI, as a DSN; it ends with the block.

    folder: of its own, is made. mode: one of MODES. size: connections to the server at the most.
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


def _answers(dsn: str) -> bool:
    try:
        psycopg.connect(dsn, autocommit=True, connect_timeout=1).close()
    except psycopg.OperationalError:
        return False
    return True
