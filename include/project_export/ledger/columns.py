"""What PostgreSQL and SQLite define differently: big keys, times, the clock, and a value of a job's plan."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Float, Integer, Text, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

# SQLite generates keys only in a column of the type INTEGER.
BigKey = BigInteger().with_variant(Integer, "sqlite")


class UtcDateTime(TypeDecorator[datetime]):
    """A time in UTC. SQLite stores it without a zone; PostgreSQL returns it in the zone of the session."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the time in UTC."""
        if value is None or value.tzinfo is None:
            return value and value.replace(tzinfo=timezone.utc)
        return value.astimezone(timezone.utc)


class clock(FunctionElement[datetime]):
    """SQL for the time `after` seconds from now (negative: ago) by the database's clock. No other clock is stored."""

    name = "clock"
    type = UtcDateTime()
    inherit_cache = True

    def __init__(self, after: float = 0.0) -> None:
        super().__init__(literal(after, Float))


@compiles(clock, "postgresql")
def _clock_of_postgresql(element: clock, compiler: SQLCompiler, **kw: Any) -> str:
    return f"(now() + make_interval(secs => {compiler.process(element.clauses, **kw)}))"


@compiles(clock, "sqlite")
def _clock_of_sqlite(element: clock, compiler: SQLCompiler, **kw: Any) -> str:
    return f"strftime('%Y-%m-%d %H:%M:%f', 'now', {compiler.process(element.clauses, **kw)} || ' seconds')"


class lower_path(FunctionElement[str]):
    """SQL for the path of a job's project in lower case, from the column `plan`; NULL without a plan.

    An index has this expression, so it is the same text wherever it occurs, without parameters.
    """

    name = "lower_path"
    type = Text()
    inherit_cache = True


@compiles(lower_path, "postgresql")
def _path_of_postgresql(element: lower_path, compiler: SQLCompiler, **kw: Any) -> str:
    return "lower(plan ->> 'project')"


@compiles(lower_path, "sqlite")
def _path_of_sqlite(element: lower_path, compiler: SQLCompiler, **kw: Any) -> str:
    return "lower(json_extract(plan, '$.project'))"
