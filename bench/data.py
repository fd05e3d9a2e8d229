"""The benchmark's databases: two shapes with a given number of records in project 1, made once and kept.

real    as teams have it: bench.real says why
worst   the sample: positions of issues in random order, texts that need escaping, notes with serialised diffs

A second project of half the size scatters the rows of the first. Autovacuum and asynchronous reads are off, because
both move a statement's work to another process and another time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from bench import real
from bench.grow import multiply
from dev.postgres import Server
from project_export.sample import schema
from project_export.sample.generate import SIZES, generate

STATE = Path(__file__).resolve().parents[1] / ".state" / "bench"
MAX_GENERATED = 2_000
"""The most issues for which the generator is quick enough; a larger project multiplies one that has no more."""

_PROJECTS = 2
_SETTINGS = {"autovacuum": "off", "io_method": "sync", "max_wal_size": "8GB", "checkpoint_timeout": "1h"}

log = logging.getLogger(__name__)


def start_server(folder: Path = STATE) -> Server:
    """Start the benchmark's server with its settings, unless it is running already."""
    server = Server(folder / "postgres", durable=False)
    fresh = not server.cluster.exists()
    server.start()
    if fresh:
        with psycopg.connect(server.uri(), autocommit=True) as conn:
            for name, value in _SETTINGS.items():
                conn.execute(sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), sql.Literal(value)))
        server.restart()
    return server


@dataclass(frozen=True)
class Sizes:
    """How many records project 1 has."""

    issues: int
    merge_requests: int = 0
    pipelines: int = 0


def real_sized(server: Server, sizes: Sizes) -> str:
    """Return the URI of the database of the real shape with this project; make it if it does not exist."""
    numbers = sizes.issues, sizes.merge_requests, sizes.pipelines
    return kept(server, "real_" + "_".join(map(str, numbers)), lambda uri: real.fill(uri, *numbers))


def worst(server: Server, issues: int) -> str:
    """Return the URI of the database of the worst shape with this many issues; make it if it does not exist."""
    if issues <= MAX_GENERATED:
        return kept(server, f"issues_{issues}", lambda uri: _generate(uri, issues))
    copies = -(-issues // MAX_GENERATED)
    base = issues // copies
    worst(server, base)
    return kept(server, f"issues_{issues}", lambda uri: multiply(uri, copies), template=f"issues_{base}")


def kept(server: Server, name: str, fill: Callable[[str], None], template: str = "") -> str:
    """Return the URI of a database that is made once. fill: called with the URI of a new one.

    template: of the new database; it must exist.
    """
    with psycopg.connect(server.uri(), autocommit=True) as conn:
        if conn.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            return server.uri(name)
        making = f"{name}_new"  # renamed when it is complete
        server.drop_database(making)
        log.info("making the sample %s", name)
        fill(server.create_database(making, template=template))
        with psycopg.connect(server.uri(making), autocommit=True) as made:
            made.execute("VACUUM (ANALYZE, FREEZE)")
            made.execute("CHECKPOINT")
        conn.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(making), sql.Identifier(name)))
    return server.uri(name)


def _generate(uri: str, issues: int) -> None:
    with psycopg.connect(uri) as conn:
        schema.create(conn)
        generate(conn, _PROJECTS, issues / SIZES["issues"])
