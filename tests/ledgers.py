"""The ledgers of tests: in PostgreSQL, unless a test is marked `ON_BOTH`; then a second time in a file of SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from project_export.ledger import Ledger, make_engine, upgrade
from tests.databases import Databases

ON_BOTH = pytest.mark.parametrize("ledger_dsn", ["postgresql", "sqlite"], indirect=True)


@pytest.fixture(scope="session")
def ledger_template(databases: Databases) -> Iterator[str]:
    """A database with the ledger's tables, to be copied, as a libpq URI."""
    with databases.new() as uri:
        _upgrade(uri)
        yield uri


@pytest.fixture
def ledger_dsn(
    request: pytest.FixtureRequest, databases: Databases, ledger_template: str, tmp_path: Path
) -> Iterator[str]:
    """A fresh ledger with its tables."""
    if getattr(request, "param", "postgresql") == "sqlite":
        dsn = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
        _upgrade(dsn)
        yield dsn
        return
    with databases.new(ledger_template) as dsn:
        yield dsn


@pytest.fixture
def engine(ledger_dsn: str) -> Iterator[Engine]:
    """The connections to a fresh ledger."""
    engine = make_engine(ledger_dsn)
    yield engine
    engine.dispose()


@pytest.fixture
def ledger(engine: Engine) -> Ledger:
    """A fresh ledger."""
    return Ledger(engine)


def _upgrade(dsn: str) -> None:
    engine = make_engine(dsn)
    upgrade(engine)
    engine.dispose()
