"""The role that an export reads its source with, as docs/operate.md advises: it reads everything, changes nothing."""

from __future__ import annotations

from typing import Any

from psycopg import Connection
from psycopg.sql import SQL, Identifier, Literal


def make_reader(connection: Connection[Any], role: str, password: str) -> None:
    """Make the role where it is missing, and give it this password. The connection is a superuser's."""
    make_role(connection, role, password)
    # Both hold for tables that come later, too; the second is a belt beside the braces.
    connection.execute(SQL("GRANT pg_read_all_data TO {}").format(Identifier(role)))
    connection.execute(SQL("ALTER ROLE {} SET default_transaction_read_only = on").format(Identifier(role)))


def make_role(connection: Connection[Any], role: str, password: str) -> None:
    """Make a role that may log in and nothing else where it is missing, and give it this password."""
    if not connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [role]).fetchall():
        connection.execute(SQL("CREATE ROLE {}").format(Identifier(role)))
    connection.execute(SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(Identifier(role), Literal(password)))
