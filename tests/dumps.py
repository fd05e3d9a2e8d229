"""Databases out of dumps that pg_dump wrote as plain SQL."""

from __future__ import annotations

import gzip
from pathlib import Path

import psycopg
from psycopg.sql import SQL, Identifier

from project_export.sample import schema


def load_dump(database: str, path: Path) -> None:
    """Load a gzipped dump into an empty database, without psql."""
    with psycopg.connect(database) as conn, gzip.open(path, "rt", encoding="utf-8", newline="\n") as lines:
        statements: list[str] = []
        for line in lines:
            if line.startswith(("\\restrict", "\\unrestrict")):
                continue  # commands of psql
            if not line.startswith("COPY "):
                statements.append(line)
                continue
            conn.execute("".join(statements).encode())
            statements.clear()
            with conn.cursor().copy(line.rstrip(";\n").encode()) as copy:
                for row in iter(lambda: next(lines), "\\.\n"):
                    copy.write(row)
        conn.execute("".join(statements).encode())


def add_tables(database: str) -> None:
    """Create the tables of the sample's schema that a dump of an earlier one lacks, without keys and rows."""
    with psycopg.connect(database) as conn:
        there = {name for (name,) in conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
        for table, columns in schema.tables().items():
            if table not in there:
                body = SQL(", ").join(SQL("{} {}").format(Identifier(one.name), SQL(one.type)) for one in columns)
                conn.execute(SQL("CREATE TABLE {} ({})").format(Identifier(table), body))
