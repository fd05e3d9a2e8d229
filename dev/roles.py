"""The role that reads the source, as docs/operate.md recommends: it can read everything and change nothing."""

from __future__ import annotations

from typing import Any

from psycopg import Connection
from psycopg.sql import SQL, Identifier, Literal


def make_reader(connection: Connection[Any], role: str, password: str) -> None:
    """Create the role if it is missing, and set its password. The connection must be a superuser's."""
    make_role(connection, role, password)
    # Both apply to future tables as well. The second is an additional safeguard.
    connection.execute(SQL("GRANT pg_read_all_data TO {}").format(Identifier(role)))
    connection.execute(SQL("ALTER ROLE {} SET default_transaction_read_only = on").format(Identifier(role)))


def make_role(connection: Connection[Any], role: str, password: str) -> None:
    """Create a role that may only log in if it is missing, and set its password."""
    if not connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [role]).fetchall():
        connection.execute(SQL("CREATE ROLE {}").format(Identifier(role)))
    connection.execute(SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(Identifier(role), Literal(password)))
