"""How a connection to PostgreSQL finds out that nobody is there any more: a machine that is gone says nothing.

Without these, a process that waits for an answer waits for two hours, Linux's own time until it asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

PATIENCE: Mapping[str, int] = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
"""libpq's names; seconds, the last one milliseconds. What a DSN or an Airflow connection says comes before it."""


def parameters(dsn: str) -> dict[str, Any]:
    """Return the parameters of a DSN (libpq URI or keywords) with this patience. Raises psycopg.ProgrammingError."""
    return {**PATIENCE, **conninfo_to_dict(dsn)}


def connect(dsn: str) -> psycopg.Connection[Any]:
    """Connect to the database of a DSN with this patience."""
    return psycopg.connect(**parameters(dsn))
