"""pg_dump of the same tables, for reference: rows of all projects and all columns, because it cannot select rows."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

from bench.peers.shape import bound_tree, connect
from dev.postgres import program


def read(uri: str, every: int) -> Iterator[bytes]:
    """Yield a plain dump of the data."""
    if every != 1:
        raise NotImplementedError("pg_dump can only dump whole tables")
    with connect(uri) as conn:
        names = sorted({relation.table for _, relation in bound_tree(conn).relation("issues").walk()})
    arguments = [argument for name in names for argument in ("-t", f"public.{name}")]
    command = [str(program("pg_dump")), "--data-only", "--disable-triggers", *arguments, uri]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while block := process.stdout.read(1 << 20):
            yield block
    if process.returncode:
        raise RuntimeError(f"pg_dump ended with exit code {process.returncode}; stderr has the reason")
