"""The sample's schema: every table of GitLab that a project export reads, as a version of GitLab declares it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from psycopg import Connection
from psycopg.sql import SQL, Composable, Composed, Identifier

from project_export.errors import BadRequest
from project_export.sample import layouts
from project_export.sample.facts import Column as Column
from project_export.sample.facts import Key, Partition
from project_export.sample.layouts import DEFAULT


def create(conn: Connection[tuple[object, ...]], layout: str = DEFAULT) -> None:
    """Create all tables, partitions, sequences, indexes and foreign keys in the schema `public`, in one transaction.

    layout: the version of GitLab to follow, one of `layouts.names()`.
    Raises BadRequest for an unknown layout, or, with their names, if some of the tables already exist.
    """
    names = [*tables(layout), *(partition.name for partition in partitions(layout))]
    with conn.transaction():
        existing = conn.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename = ANY(%s) ORDER BY 1", [names]
        ).fetchall()
        if existing:
            found = _listed(str(name) for (name,) in existing)
            raise BadRequest(
                f"Database {conn.info.dbname} already has tables of the sample: {found}."
                " Name an empty database (createdb NAME makes one)."
            )
        for statement in statements(layout):
            conn.execute(statement)


def statements(layout: str = DEFAULT) -> Iterator[Composed]:
    """Yield the DDL, in an order in which it can run."""
    strategies = {partition.table: partition.strategy for partition in partitions(layout)}
    for table, columns in tables(layout).items():
        yield from (_sequence(table) for column in columns if column.serial)
        yield _table(table, columns, strategies.get(table, ""))
        yield from (_ownership(table) for column in columns if column.serial)
    for partition in partitions(layout):
        yield SQL("CREATE TABLE {} PARTITION OF {} {}").format(
            Identifier("public", partition.name), Identifier("public", partition.table), _raw(partition.bounds)
        )
    for key in sorted(all_keys(layout), key=lambda key: key.kind == "fk"):
        yield _key(key)


def tables(layout: str = DEFAULT) -> dict[str, tuple[Column, ...]]:
    """Return the columns of each table, both in GitLab's order; partitions are not included."""
    return layouts.layout(layout).tables


def all_keys(layout: str = DEFAULT) -> tuple[Key, ...]:
    """Return all keys and indexes."""
    return layouts.layout(layout).keys


def partitions(layout: str = DEFAULT) -> tuple[Partition, ...]:
    """Return all partitions of the partitioned tables."""
    return layouts.layout(layout).partitions


def sequence_name(table: str) -> str:
    """Return the name of the sequence of a table's id; the p_ci_* tables kept the sequences of their predecessors.

    >>> sequence_name("issues"), sequence_name("p_ci_builds")
    ('issues_id_seq', 'ci_builds_id_seq')
    """
    return f"{table.removeprefix('p_')}_id_seq"


def _table(table: str, columns: Iterable[Column], strategy: str) -> Composed:
    body = SQL(", ").join(
        SQL(" ").join(
            [
                Identifier(column.name),
                _raw(column.type),
                _raw(column.not_null),
                SQL("DEFAULT {}").format(_default(column)) if column.serial or column.default else SQL(""),
            ]
        )
        for column in columns
    )
    partitioning = _raw(f"PARTITION BY {strategy}" if strategy else "")
    return SQL("CREATE TABLE {} ({}) {}").format(Identifier("public", table), body, partitioning)


def _default(column: Column) -> Composable:
    if column.serial:
        return SQL("nextval({}::regclass)").format(f"public.{sequence_name(column.table)}")
    return _raw(column.default)


def _sequence(table: str) -> Composed:
    return SQL("CREATE SEQUENCE {}").format(Identifier("public", sequence_name(table)))


def _ownership(table: str) -> Composed:
    return SQL("ALTER SEQUENCE {} OWNED BY {}").format(
        Identifier("public", sequence_name(table)), Identifier("public", table, "id")
    )


def _key(key: Key) -> Composed:
    table, name, detail = Identifier("public", key.table), Identifier(key.name), _raw(key.detail)
    columns = SQL(", ").join(_column(column) for column in key.columns.split(", "))
    if key.kind == "pk":
        return SQL("ALTER TABLE {} ADD CONSTRAINT {} PRIMARY KEY ({})").format(table, name, columns)
    if key.kind == "fk":
        target, _, rest = key.detail.partition("(")
        return SQL("ALTER TABLE {} ADD CONSTRAINT {} FOREIGN KEY ({}) REFERENCES {} ({}").format(
            table, name, columns, Identifier("public", target), _raw(rest)
        )
    form = {
        "unique": SQL("CREATE UNIQUE INDEX {} ON {} ({}) {}"),
        "index": SQL("CREATE INDEX {} ON {} ({}) {}"),
        "gin": SQL("CREATE INDEX {} ON {} USING gin ({}) {}"),
    }[key.kind]
    return form.format(name, table, columns, detail)


def _column(text: str) -> Composable:
    """Quote a plain column name; return an expression, or a name with an ordering, unchanged."""
    return Identifier(text) if re.fullmatch(r"\w+", text) else _raw(text)


def _raw(text: str) -> SQL:
    """Take SQL from the files of facts, which are part of this package."""
    return SQL(text)


def _listed(names: Iterable[str], limit: int = 5) -> str:
    found = list(names)
    return ", ".join(found[:limit]) + (f" and {len(found) - limit} more" if len(found) > limit else "")
