"""The contract of the API's rate limits, on PostgreSQL and on SQLite."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, func, select, update

from project_export.ledger import Ledger, make_engine, rates
from project_export.ledger.columns import clock
from project_export.ledger.models import ProjectExportRate
from tests.ledgers import ON_BOTH

pytestmark = ON_BOTH


@pytest.fixture(autouse=True)
def long_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no minute end during a test: a minute is longer than the time since 1970."""
    monkeypatch.setattr(rates, "_MINUTE_SECONDS", 1 << 40)


def next_minute(engine: Engine) -> None:
    """Let all requests have been made in an earlier minute."""
    with engine.begin() as connection:
        connection.execute(update(ProjectExportRate).values(minute=ProjectExportRate.minute - 1))


def counted(engine: Engine) -> list[tuple[str, str, int]]:
    rate = ProjectExportRate
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(select(rate.user_name, rate.action, rate.requests))]


def test_requests_above_the_limit_wait_for_the_next_minute(ledger: Ledger, engine: Engine) -> None:
    waits = [ledger.rates.wait("jane", "export", 3) for _ in range(5)]
    assert waits[:3] == [0, 0, 0]
    assert all(isinstance(wait, int) and wait > 0 for wait in waits[3:])
    next_minute(engine)
    assert [bool(ledger.rates.wait("jane", "export", 3)) for _ in range(4)] == [False, False, False, True]


def test_the_wait_is_the_rest_of_the_minute_in_whole_seconds(
    ledger: Ledger, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rates, "_MINUTE_SECONDS", 60)
    with engine.connect() as connection:
        before = connection.scalars(select(clock())).one()
    waits = [ledger.rates.wait("jane", "export", 1) for _ in range(3)][1:]
    with engine.connect() as connection:
        after = connection.scalars(select(clock())).one()
    if before.minute == after.minute:  # otherwise one of them was allowed
        assert all(60 - after.second - 1 <= wait <= 60 - before.second for wait in waits)
    assert all(0 <= wait <= 60 for wait in waits)


def test_every_user_and_action_has_a_limit_of_its_own(ledger: Ledger) -> None:
    assert ledger.rates.wait("jane", "export", 1) == 0
    assert ledger.rates.wait("joe", "export", 1) == 0
    assert ledger.rates.wait("jane", "download", 1) == 0
    assert ledger.rates.wait("jane", "export", 1) > 0


def test_without_a_limit_nothing_is_counted(ledger: Ledger, engine: Engine) -> None:
    assert [ledger.rates.wait("jane", "export", 0) for _ in range(9)] == [0] * 9
    assert counted(engine) == []


def test_counts_of_earlier_minutes_are_deleted(ledger: Ledger, engine: Engine) -> None:
    for number in range(20):
        ledger.rates.wait(f"user {number}", "export", 6)
    next_minute(engine)
    ledger.rates.wait("jane", "export", 6)
    assert counted(engine) == [("jane", "export", 1)]


def test_a_transaction_that_began_before_the_minute_counts_for_the_new_one(ledger: Ledger, engine: Engine) -> None:
    ledger.rates.wait("jane", "export", 2)
    with engine.begin() as connection:
        connection.execute(update(ProjectExportRate).values(minute=ProjectExportRate.minute + 1))
    assert ledger.rates.wait("jane", "export", 2) == 0
    assert ledger.rates.wait("jane", "export", 2) > 0


@pytest.fixture
def others(ledger_dsn: str) -> Iterator[list[Ledger]]:
    """Ledgers with connections of their own, as other processes have them."""
    engines = [make_engine(ledger_dsn) for _ in range(4)]
    yield [Ledger(engine) for engine in engines]
    for engine in engines:
        engine.dispose()


def test_concurrent_requests_are_all_counted(others: list[Ledger], engine: Engine) -> None:
    together = threading.Barrier(16)

    def run(number: int) -> list[int]:
        together.wait(60)
        return [others[number % 4].rates.wait("jane", "export", 20) for _ in range(5)]

    with ThreadPoolExecutor(16) as threads:
        waits = [wait for found in threads.map(run, range(16)) for wait in found]
    assert (len(waits), waits.count(0)) == (80, 20)
    assert counted(engine) == [("jane", "export", 80)]


def test_concurrent_users_do_not_lock_each_other_out_when_the_minute_changes(
    others: list[Ledger], engine: Engine
) -> None:
    """Each deletes what is old while the others renew their rows: no deadlock, no count lost."""
    users = [f"user {number}" for number in range(8)]
    for _ in range(5):
        next_minute(engine)
        together = threading.Barrier(len(users))

        def run(number: int, together: threading.Barrier = together) -> int:
            together.wait(60)
            return others[number % 4].rates.wait(users[number], "export", 6)

        with ThreadPoolExecutor(len(users)) as threads:
            assert list(threads.map(run, range(len(users)))) == [0] * len(users)
    with engine.connect() as connection:
        assert connection.scalar(select(func.sum(ProjectExportRate.requests))) == len(users)
