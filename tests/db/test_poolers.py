"""Source and ledger behind a PgBouncer that gives each transaction another session, next to clients that litter."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg.sql import SQL, Identifier
from sqlalchemy import text

from project_export.errors import LedgerRefused, SourceBusy, SourceRefused
from project_export.ledger import JobRequest, Ledger, Planned, engine_over, make_engine, upgrade
from project_export.source import Limits, Session
from project_export.steps import Holder
from tests.bouncer import SIZE, THEIRS, bouncing, everywhere, fresh, neighbours, settings
from tests.runs import assert_same, backends, context, merge, path_of, started, wait_until, work

SESSIONS = 200
OURS = Limits(statement_seconds=901, lock_seconds=31, idle_seconds=601, transaction_seconds=3601)
ZONE = "Asia/Tokyo"
REQUEST = JobRequest(source="s", tree="t", project_id=1, run_id="manual__1", requested_by="jane")


@pytest.fixture
def source(role: str, generated_copy: str) -> str:
    with psycopg.connect(generated_copy) as connection:
        connection.execute("CREATE SCHEMA decoy CREATE TABLE projects (id int) CREATE TABLE issues (id int)")
        connection.execute(SQL("GRANT USAGE ON SCHEMA decoy TO {}").format(Identifier(role)))
    return generated_copy


def test_two_hundred_sessions_and_their_neighbours_see_nothing_of_each_other(
    source: str, role: str, tmp_path: Path
) -> None:
    default = fresh(source)
    theirs = {**THEIRS, "role": role}

    def look(number: int) -> dict[str, str]:
        with Session(lambda: psycopg.connect(dsn), f"test {number}", OURS, zone=ZONE) as session:
            session.one("SELECT count(*) FROM public.issues")
            names = session.one("SELECT array_agg(name) FROM pg_settings WHERE name = ANY(%s)", [[*THEIRS]])[0]
            found = {name: session.one("SELECT current_setting(%s)", [name])[0] for name in [*names, "role"]}
            there = session.one("SELECT 'projects'::regclass = 'public.projects'::regclass")
            assert there == (True,)
            assert session.one("SELECT 'issues'::regclass = 'public.issues'::regclass") == (True,)
            return found

    with bouncing(source, tmp_path / "pooler") as dsn:
        with neighbours(dsn, role, [default, theirs]) as looked, ThreadPoolExecutor(4) as pool:
            begun = looked[0]
            found = list(pool.map(look, range(SESSIONS)))
        assert looked[0] > begun
        with everywhere(dsn) as clients:
            left = [settings(client) for client in clients]
    assert len(found) == SESSIONS
    ours = {
        **default,
        "DateStyle": "ISO, MDY",
        "extra_float_digits": "1",
        "idle_in_transaction_session_timeout": "601s",
        "IntervalStyle": "postgres",
        "lock_timeout": "31s",
        "row_security": "off",
        "search_path": f"{default['search_path']}, pg_temp",
        "statement_timeout": "901s",
        "TimeZone": ZONE,
        "transaction_timeout": "3601s",
    }
    assert [one for one in found if one != ours] == []
    assert [one for one in left if any(one[name] not in (default[name], theirs[name]) for name in one)] == []


def test_an_export_is_the_same_with_poolers_before_source_and_ledger(
    source: str, ledger_dsn: str, role: str, tmp_path: Path
) -> None:
    default = [fresh(source), {**THEIRS, "role": role}]
    with (
        bouncing(source, tmp_path / "source") as pooled_source,
        bouncing(ledger_dsn, tmp_path / "ledger") as pooled_ledger,
    ):
        ctx = context(pooled_source, pooled_ledger, tmp_path / "store")
        with neighbours(pooled_source, role, default), neighbours(pooled_ledger, role, default):
            created = started(ctx)
            holder = Holder(ctx, created.job_id)
            assert work(ctx, created) == []
            holder.close()
            with ctx.ledger.watch.listening(created.job_id) as wait:
                wait(0.1)
            archive = path_of(merge(ctx, created))
            ctx.ledger.close()
        with everywhere(pooled_ledger) as clients:
            heard = [client.execute("SELECT pg_listening_channels()").fetchall() for client in clients]
            prepared = [client.execute("SELECT name FROM pg_prepared_statements").fetchall() for client in clients]
            own = "(SELECT oid FROM pg_database WHERE datname = current_database())"  # other tests lock theirs
            held = f"SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND database = {own}"  # noqa: S608
            locks = clients[0].execute(held).fetchall()
        with everywhere(pooled_source) as clients:
            prepared += [client.execute("SELECT name FROM pg_prepared_statements").fetchall() for client in clients]
    assert heard == [[]] * SIZE
    assert prepared == [[]] * 2 * SIZE
    assert locks == []
    assert len(created.titles) > 1
    assert_same(archive, source)


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_a_snapshot_is_shared_through_a_pooler(source: str, tmp_path: Path, mode: str) -> None:
    with (
        bouncing(source, tmp_path / "pooler", mode) as dsn,
        Session(lambda: psycopg.connect(dsn), "holder", OURS) as holder,
    ):
        with psycopg.connect(source) as other:
            other.execute("DELETE FROM notes")
        with Session(lambda: psycopg.connect(dsn), "reader", OURS, holder.export_snapshot()) as reader:
            assert reader.one("SELECT count(*) FROM notes")[0] > 0


def test_one_connection_of_a_pooler_is_enough_for_a_worker(source: str, tmp_path: Path) -> None:
    ledger = f"sqlite:///{tmp_path}/ledger"
    with bouncing(source, tmp_path / "pooler", size=1) as dsn:
        ctx = context(dsn, ledger, tmp_path / "store", units=1)
        upgrade(make_engine(ledger))
        created = started(ctx)
        assert work(ctx, created) == []
        archive = path_of(merge(ctx, created))
        ctx.ledger.close()
    assert_same(archive, source)


def test_two_connections_of_a_role_are_enough_for_a_worker_and_a_shared_snapshot(
    role: str, generated_copy: str, tmp_path: Path
) -> None:
    with psycopg.connect(generated_copy) as connection:
        named = Identifier(role)
        connection.execute(SQL("ALTER ROLE {} LOGIN PASSWORD 'secret' CONNECTION LIMIT 2").format(named))
        connection.execute(SQL("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}").format(named))
    ledger = f"sqlite:///{tmp_path}/ledger"
    upgrade(make_engine(ledger))
    limited = psycopg.conninfo.make_conninfo(generated_copy, user=role, password="secret")
    ctx = context(limited, ledger, tmp_path / "store")
    created = started(ctx)
    with closing(Holder(ctx, created.job_id)):
        refused = work(ctx, created)
        assert 0 < len(refused) < len(created.titles)  # they may be retried, but nothing is left to do
        assert {type(error) for error in refused} == {SourceBusy}
    archive = path_of(merge(ctx, created))
    ctx.ledger.close()
    assert_same(archive, generated_copy)


def test_a_statement_is_cancelled_through_a_pooler_and_the_session_goes_on(source: str, tmp_path: Path) -> None:
    with (
        bouncing(source, tmp_path / "pooler") as dsn,
        Session(lambda: psycopg.connect(dsn), "sleeper", OURS) as session,
        ThreadPoolExecutor(1) as pool,
    ):

        def sleep() -> None:
            with session.attempt("sleep"):
                session.one("SELECT pg_sleep(60)")

        sleeping = pool.submit(sleep)
        wait_until(lambda: backends(source, "sleeper sleep"))
        wait_until(lambda: session.cancel() or sleeping.done())
        with pytest.raises(SourceBusy, match="57014"):
            sleeping.result()
        assert session.one("SELECT 1") == (1,)


def test_a_source_that_is_pooled_by_statement_is_refused(source: str, tmp_path: Path) -> None:
    with (
        bouncing(source, tmp_path / "pooler", "statement") as dsn,
        pytest.raises(SourceRefused, match=r"test, begin: .*pool_mode = statement"),
    ):
        Session(lambda: psycopg.connect(dsn), "test", OURS)


def test_a_ledger_that_is_pooled_by_statement_is_refused(ledger_dsn: str, tmp_path: Path) -> None:
    with (
        bouncing(ledger_dsn, tmp_path / "pooler", "statement") as dsn,
        pytest.raises(LedgerRefused, match="pool_mode = statement"),
    ):
        Ledger(make_engine(dsn)).check()


def test_what_a_pooler_refuses_for_another_reason_may_be_retried(source: str) -> None:
    def connect() -> Any:
        connection = psycopg.connect(source)
        connection.execute = refuse  # type: ignore[method-assign]
        return connection

    def refuse(*_: object) -> Any:
        raise psycopg.errors.ProtocolViolation("query_wait_timeout")

    connections = iter([connect, lambda: psycopg.connect(source)])
    with pytest.raises(SourceBusy, match="query_wait_timeout"):
        Session(lambda: next(connections)(), "test", OURS)


def test_no_statement_is_prepared_in_a_session_of_the_ledger_or_the_source(source: str, ledger_dsn: str) -> None:
    prepared = "SELECT count(*) FROM pg_prepared_statements"
    with Session(lambda: psycopg.connect(source, prepare_threshold=0), "test", OURS) as session:
        for _ in range(7):
            session.one("SELECT %s::int", [1])
        assert session.one(prepared) == (0,)
    engine = engine_over(lambda: psycopg.connect(ledger_dsn, prepare_threshold=0))
    with engine.connect() as connection:
        for _ in range(7):
            connection.execute(text("SELECT :one"), {"one": 1})
        assert connection.execute(text(prepared)).scalar_one() == 0
    engine.dispose()


def test_connections_that_give_rows_as_dictionaries_work(source: str, ledger_dsn: str, tmp_path: Path) -> None:
    engine = engine_over(lambda: psycopg.connect(ledger_dsn, row_factory=dict_row))
    upgrade(engine)
    ctx = context(source, f"sqlite:///{tmp_path}/ledger", tmp_path / "store", units=1)
    connect: Any = lambda: psycopg.connect(source, row_factory=dict_row)  # noqa: E731
    ctx = replace(ctx, ledger=Ledger(engine), connect=connect)
    created = started(ctx)
    assert work(ctx, created) == []
    assert_same(path_of(merge(ctx, created)), source)
    engine.dispose()


def test_a_ledger_that_is_not_to_listen_sleeps(ledger_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = make_engine(ledger_dsn)
    upgrade(engine)
    ledger = Ledger(engine, listen=False)
    job = ledger.jobs.open(REQUEST, [Planned("issues", 0)])
    naps: list[float] = []
    with ledger.watch.listening(job.id) as wait:
        assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]
        monkeypatch.setattr("time.sleep", naps.append)
        assert wait(30) is False
    assert naps == [1.0]
    engine.dispose()
