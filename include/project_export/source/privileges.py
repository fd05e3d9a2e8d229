"""The rights that an export lacks in a source, and the statements that grant them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from psycopg import sql

from project_export.source.relkinds import Found
from project_export.source.session import Session
from project_export.tree import BoundTree
from project_export.tree.reads import columns

_LACKING = sql.SQL("""
    SELECT r.name, r.attribute
    FROM unnest({tables}::text[], {columns}::text[]) AS r(name, attribute)
    JOIN pg_class c ON c.relname = r.name AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND pg_table_is_visible(c.oid)
    WHERE NOT has_column_privilege(c.oid, r.attribute, 'SELECT')
    ORDER BY r.name, r.attribute
""")


def lacking(session: Session, bound: BoundTree) -> Mapping[str, tuple[str, ...]]:
    """Return the columns that the tree reads and this session's role may not read, by table."""
    reads = [(table, column) for table, names in columns(bound).items() for column in names]
    query = _LACKING.format(tables=sql.Placeholder("tables"), columns=sql.Placeholder("columns"))
    params = {"tables": [table for table, _ in reads], "columns": [column for _, column in reads]}
    found: dict[str, tuple[str, ...]] = {}
    for page in session.pages(query, params, lambda: 1000):
        for table, column in page:
            found[table] = (*found.get(table, ()), column)
    return found


def grants(tables: Iterable[Found], bound: BoundTree, role: str) -> Iterator[str]:
    """Yield the statements by which an administrator lets a role read what the tree reads of these tables.

    They grant columns, since other columns of the same tables hold secrets.
    """
    reads = columns(bound)
    found = sorted(tables, key=lambda table: (table.schema, table.name))
    to = sql.Identifier(role)
    for schema in dict.fromkeys(table.schema for table in found):
        yield _text(sql.SQL("GRANT USAGE ON SCHEMA {} TO {};").format(sql.Identifier(schema), to))
    for table in found:
        name = sql.Identifier(table.schema, table.name)
        its = sql.SQL(", ").join(map(sql.Identifier, sorted(reads.get(table.name, ()))))
        if reads.get(table.name):
            yield _text(sql.SQL("GRANT SELECT ({}) ON TABLE {} TO {};").format(its, name, to))


def _text(statement: sql.Composed) -> str:
    return statement.as_bytes(None).decode()
