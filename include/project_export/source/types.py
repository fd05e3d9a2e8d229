"""Values in the form in which they are exported, by PostgreSQL type. row_to_json forms all other types."""

from __future__ import annotations

from psycopg import sql

TIMES = ("timestamp", "timestamptz")
# .MS truncates microseconds, as Rails does.
_TIME = '"T"HH24:MI:SS.MS'


def formed(expression: sql.Composable, type_name: str, *, zoned: bool) -> sql.Composable:
    """Return an expression in the form in which values of this type (pg_type.typname) are exported.

    The forms are those of Rails: NaN and infinity are null, a float has a fraction, and years before Christ are counted
    as in ISO 8601, with a year 0. zoned: times have the offset of the session's zone; else they are UTC with a Z.
    """
    if type_name == "bytea":
        return sql.SQL("encode({}, 'hex')").format(expression)
    if type_name in TIMES:
        if type_name == "timestamp" and zoned:
            expression = sql.SQL("({} AT TIME ZONE 'UTC')").format(expression)
        return _dated(expression, _TIME + ("TZH:TZM" if zoned else '"Z"'))
    if type_name == "date":
        return _dated(expression, "")
    if type_name in ("float4", "float8"):
        # PostgreSQL writes an exponent if a number has more digits than its type: from 1e15 on, for float4 from 1e6 on.
        digits = "::text" if type_name == "float8" else "::text::numeric::text"
        return sql.SQL(
            "CASE WHEN {0} IN ('NaN', 'Infinity', '-Infinity') THEN NULL"
            " WHEN {0} = trunc({0}) AND abs({0}) < 1e15 THEN ({0}{1} || '.0')::json ELSE to_json({0}) END"
        ).format(expression, sql.SQL(digits))
    if type_name == "numeric":
        return sql.SQL("CASE WHEN {0} NOT IN ('NaN', 'Infinity', '-Infinity') THEN {0} END").format(expression)
    return expression


def _dated(expression: sql.Composable, time_format: str) -> sql.Composable:
    """Return a time as text. to_char makes NULL of infinity."""
    return sql.SQL(
        "CASE WHEN {0} >= '0001-01-01' THEN to_char({0}, {1}) WHEN {0} > '-infinity'"
        " THEN to_char(extract(year FROM {0}) + 1, 'FM0000') || to_char({0}, {2}) END"
    ).format(expression, sql.Literal("YYYY-MM-DD" + time_format), sql.Literal("-MM-DD" + time_format))
