"""The peers: each reads the issues of project 1, with everything nested in them, in its own way.

A peer is a function `(uri, every)` that yields the records as lines of JSON, in chunks. With `every` = N it reads only
every Nth issue in export order. Some can read other relations as well, whose name is their third argument. The output
goes through the compressor that such a tool would normally use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Literal

Read = Callable[..., Iterator[bytes]]
Compressor = Literal["none", "gzip -6", "isal 1", "part"]


@dataclass(frozen=True)
class Peer:
    """One way to read the issues.

    title: its name in the report. module, function: where its `Read` is; only the process that runs it imports it.
    compressor: for its output; `part` is ours, with CRC-32 and SHA-256. records: False if it yields other bytes, and
    only the cost of reading counts. sample: it reads only this many issues, spread evenly, and the cost of all issues
    is extrapolated.
    """

    title: str
    module: str
    function: str = "read"
    compressor: Compressor = "none"
    records: bool = True
    sample: int | None = None

    def load(self) -> Read:
        """Import the peer and return its function."""
        found: Read = getattr(import_module(f"bench.peers.{self.module}"), self.function)
        return found


PEERS = {
    "copy": Peer("binary COPY of the same rows and columns, discarded", "copy", records=False),
    "ours": Peer("project_export", "ours", compressor="part"),
    "ours-raw": Peer("project_export, not compressed", "ours"),
    "ours-split": Peer("project_export, in 8 parts", "ours", function="read_split", compressor="part"),
    "nested": Peer("one nested statement per batch (row_to_json, json_agg), isal 1", "nested", compressor="isal 1"),
    "rows": Peer("psycopg rows, grouped in Python, orjson, isal 1", "rows", compressor="isal 1"),
    "orm": Peer("SQLAlchemy ORM, selectinload by 100, json, gzip -6", "orm", compressor="gzip -6", sample=2_000),
    "duckdb": Peer("DuckDB with its postgres extension, isal 1", "duck", compressor="isal 1"),
    "dump": Peer("pg_dump of the same tables, of all projects", "dump", records=False),
}
