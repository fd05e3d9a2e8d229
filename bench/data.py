"""The benchmark's databases: the sample with so many issues in project 1, made once and kept.

The neighbour project is half as large, so that a project's rows lie scattered among others'. Autovacuum and
asynchronous reads are off, since both would do a statement's work in another process at another time.
"""

from __future__ import annotations

import logging
from pathlib import Path

import psycopg
from psycopg import sql

from bench.grow import multiply
from dev.postgres import Server
from project_export.sample import schema
from project_export.sample.generate import SIZES, generate

STATE = Path(__file__).resolve().parents[1] / ".state" / "bench"
GENERATED_MOST = 100_000
"""Issues that the generator makes at the most; larger projects are copies of a tenth of them."""

_PROJECTS = 2
_SETTINGS = {"autovacuum": "off", "io_method": "sync", "max_wal_size": "8GB", "checkpoint_timeout": "1h"}

log = logging.getLogger(__name__)


def start_server(folder: Path = STATE) -> Server:
    """Start the benchmark's server, or find it running, with the settings of a benchmark."""
    server = Server(folder / "postgres", durable=False)
    fresh = not server.cluster.exists()
    server.start()
    if fresh:
        with psycopg.connect(server.uri(), autocommit=True) as conn:
            for name, value in _SETTINGS.items():
                conn.execute(sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), sql.Literal(value)))
        server.restart()
    return server


def prepare(server: Server, issues: int) -> str:
    """Return the URI of the database whose project 1 has this many issues; make it first where there is none."""
    name = f"issues_{issues}"
    with psycopg.connect(server.uri(), autocommit=True) as conn:
        if conn.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            return server.uri(name)
        making = f"{name}_new"  # renamed when it is whole
        server.drop_database(making)
        log.info("making the sample with %d issues", issues)
        if issues <= GENERATED_MOST:
            _generate(server.create_database(making), issues)
        else:
            tenth = issues // 10
            prepare(server, tenth)
            template = sql.Identifier(f"issues_{tenth}")
            conn.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(making), template))
            multiply(server.uri(making), 10)
        with psycopg.connect(server.uri(making), autocommit=True) as made:
            made.execute("VACUUM (ANALYZE, FREEZE)")
            made.execute("CHECKPOINT")
        conn.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(making), sql.Identifier(name)))
    return server.uri(name)


def _generate(uri: str, issues: int) -> None:
    with psycopg.connect(uri) as conn:
        schema.create(conn)
        generate(conn, _PROJECTS, issues / SIZES["issues"])
