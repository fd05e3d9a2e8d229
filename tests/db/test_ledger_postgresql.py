"""What only PostgreSQL can show: concurrency, notifications, plans, a lost connection."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from sqlalchemy import Connection, Engine, create_engine, event, text

from dev.postgres import Server
from project_export.errors import AttemptRevoked, JobActive, LedgerBusy
from project_export.ledger import Beat, JobRequest, Ledger, Planned, make_engine
from project_export.ledger.queries import progress_query

REQUEST = JobRequest(source="s", tree="t", project_id=1, run_id="manual__1", requested_by="jane")


class Facts:
    records = 1
    raw_bytes = 2
    stored_bytes = 3
    crc32 = 4
    stored_crc32 = 5
    sha256 = "ab"


@pytest.fixture
def statements(engine: Engine) -> list[str]:
    seen: list[str] = []

    def note(connection: object, cursor: object, statement: str, *more: object) -> None:
        seen.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    return seen


def test_eight_threads_claim_each_of_forty_rows_once(ledger: Ledger) -> None:
    job = ledger.jobs.open(REQUEST, [Planned(f"r{n}", n, unit=n % 8) for n in range(40)])
    together = threading.Barrier(8)

    def claim_all(unit: int) -> list[int]:
        together.wait()
        taken = []
        while claim := ledger.claims.claim(job.id, unit, f"unit {unit}"):
            taken.append(claim.row_id)
        return taken

    with ThreadPoolExecutor(8) as threads:
        taken = Counter(row for rows in threads.map(claim_all, range(8)) for row in rows)
    assert taken == Counter(row.id for row in ledger.queries.rows(job.id))
    assert {row.attempt for row in ledger.queries.rows(job.id)} == {1}


def test_a_claim_skips_a_row_that_another_transaction_has_locked(ledger: Ledger, engine: Engine) -> None:
    job = ledger.jobs.open(REQUEST, [Planned("first", 0), Planned("second", 1)])
    with engine.connect() as other, ThreadPoolExecutor(1) as threads:
        other.execute(text("SELECT 1 FROM relation_export WHERE relation = 'first' FOR UPDATE"))
        try:
            claim = threads.submit(ledger.claims.claim, job.id, 0, "unit 0").result(30)
        finally:
            other.rollback()
    assert claim is not None
    assert claim.relation == "second"


def test_twenty_concurrent_triggers_create_one_job(ledger: Ledger, ledger_dsn: str) -> None:
    together = threading.Barrier(20)

    def trigger(number: int) -> int | str:
        engine = make_engine(ledger_dsn)
        together.wait(30)
        try:
            return Ledger(engine).jobs.open(REQUEST, [Planned("issues", 0)]).id
        except JobActive as refused:
            return str(refused)
        finally:
            engine.dispose()

    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(trigger, range(20)))
    (opened,) = (answer for answer in answers if isinstance(answer, int))
    assert sum(f"by job {opened}:" in answer for answer in answers if isinstance(answer, str)) == 19
    assert len(ledger.queries.rows(opened)) == 1


def test_no_row_starts_in_a_generation_that_has_ended(ledger: Ledger) -> None:
    job = ledger.jobs.open(REQUEST, [Planned(f"r{n}", n) for n in range(200)])
    ended = threading.Event()

    def work(unit: int) -> None:
        while not ended.is_set():
            if claim := ledger.claims.claim(job.id, unit, "unit"):
                try:
                    ledger.claims.finish(claim, Facts(), "file:///part")
                except AttemptRevoked:
                    continue

    with ThreadPoolExecutor(4) as threads:
        units = [threads.submit(work, unit) for unit in range(4)]
        for generation in range(1, 11):
            ledger.jobs.begin_generation(job.id, generation, f"0000000{generation}-1", "lost")
            assert {row.generation for row in ledger.queries.rows(job.id) if row.state != "queued"} <= {generation}
        while ledger.queries.progress(job.id).pending:
            threading.Event().wait(0.05)
        ended.set()
        for unit in units:
            unit.result()
    assert {row.generation for row in ledger.queries.rows(job.id)} == {10}


def test_a_claim_a_heartbeat_and_a_finish_are_one_statement_each(ledger: Ledger, statements: list[str]) -> None:
    job = ledger.jobs.open(REQUEST, [Planned(f"r{n}", n) for n in range(3)])
    claims = []
    for _ in range(3):
        statements.clear()
        claim = ledger.claims.claim(job.id, 0, "unit 0")
        assert claim is not None
        claims.append(claim)
        assert len(statements) == 1
    statements.clear()
    ledger.claims.beat([Beat(claim.row_id, claim.attempt, 1, 1) for claim in claims])
    assert len(statements) == 1
    statements.clear()
    ledger.claims.finish(claims[0], Facts(), "file:///part")
    assert len(statements) == 1
    assert "pg_notify" in statements[0]


def test_a_change_after_the_read_ends_the_wait(ledger: Ledger) -> None:
    job = ledger.jobs.open(REQUEST, [Planned("issues", 0)])
    claim = ledger.claims.claim(job.id, 0, "unit 0")
    assert claim is not None
    with ledger.watch.listening(job.id) as wait:
        assert ledger.queries.progress(job.id).pending == 1
        ledger.claims.finish(claim, Facts(), "file:///part")
        assert wait(30) is True
        assert wait(0.1) is False


def test_a_wait_ends_when_another_thread_changes_the_job(ledger: Ledger) -> None:
    job = ledger.jobs.open(REQUEST, [Planned("issues", 0)])
    claim = ledger.claims.claim(job.id, 0, "unit 0")
    assert claim is not None
    with ledger.watch.listening(job.id) as wait, ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(wait, 60)
        ledger.claims.fail_attempt(claim, "no", final=True)
        assert waiting.result(30) is True


def test_other_jobs_claims_and_heartbeats_do_not_end_a_wait(ledger: Ledger) -> None:
    job = ledger.jobs.open(REQUEST, [Planned("issues", 0)])
    other = ledger.jobs.open(JobRequest("s", "t", 2, "manual__2", "jane"), [Planned("issues", 0)])
    with ledger.watch.listening(job.id) as wait:
        ledger.jobs.fail(other.id, [])
        claim = ledger.claims.claim(job.id, 0, "unit 0")
        assert claim is not None
        ledger.claims.beat([Beat(claim.row_id, claim.attempt, 1, 1)])
        assert wait(0.3) is False


def test_each_change_of_a_state_is_announced(ledger: Ledger) -> None:
    job = ledger.jobs.open(REQUEST, [Planned("issues", 0)])
    claim = ledger.claims.claim(job.id, 0, "unit 0")
    assert claim is not None
    with ledger.watch.listening(job.id) as wait:
        for change in (
            lambda: ledger.claims.requeue([claim.row_id], "hung"),
            lambda: ledger.claims.fail_rows([claim.row_id], "killed"),
            lambda: ledger.jobs.begin_generation(job.id, 1, "00000003-1", "lost"),
            lambda: ledger.jobs.fail(job.id, []),
            lambda: ledger.jobs.reopen(job.id),
            lambda: ledger.jobs.finish(job.id, "file:///p", 1, "ab", 1),
        ):
            change()
            assert wait(30) is True


def test_listening_leaves_no_listener_behind(ledger: Ledger, engine: Engine) -> None:
    with ledger.watch.listening(1) as wait:
        wait(0)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM pg_listening_channels()")).scalar_one() == 0
    assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]


def test_a_session_without_notifications_sleeps_for_at_most_a_second(
    server: Server, ledger_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Notifications stay in their database, so a first connection to another one hears nothing, as behind a pooler.
    dsns = iter([server.uri(), ledger_dsn])
    deaf = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(next(dsns)))
    naps: list[float] = []
    with Ledger(deaf).watch.listening(1) as wait:
        monkeypatch.setattr(time, "sleep", naps.append)
        assert wait(30) is False
        assert wait(0.2) is False
    assert naps == [1.0, 0.2]
    deaf.dispose()


def test_after_a_lost_connection_the_next_call_succeeds(ledger: Ledger, engine: Engine, ledger_dsn: str) -> None:
    job = ledger.jobs.open(REQUEST, [])
    with ledger.watch.listening(job.id) as wait, psycopg.connect(ledger_dsn, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'project_export ledger'"
        )
        with pytest.raises(LedgerBusy, match="The ledger's database did not answer"):
            wait(30)
    assert ledger.queries.job(job.id) == job


def test_the_error_of_an_unreachable_ledger_does_not_contain_its_password() -> None:
    ledger = Ledger(make_engine("postgresql://jane:s3cret@127.0.0.1:1/ledger"))

    def listen() -> None:
        with ledger.watch.listening(1):
            pass

    for ask in (lambda: ledger.queries.job(1), ledger.check, listen):
        with pytest.raises(LedgerBusy, match=r"127\.0\.0\.1") as refused:
            ask()
        assert "s3cret" not in str(refused.value)


def test_a_keyword_string_and_a_driver_in_the_scheme_are_accepted(ledger_dsn: str) -> None:
    keywords = psycopg.conninfo.make_conninfo(ledger_dsn)
    for dsn in (keywords, ledger_dsn.replace("postgresql://", "postgresql+psycopg://")):
        engine = make_engine(dsn)
        with engine.connect() as connection:
            name = connection.execute(text("SELECT current_setting('application_name')")).scalar_one()
        engine.dispose()
        assert name == "project_export ledger"


def test_progress_over_ten_thousand_rows_uses_an_index(ledger: Ledger, engine: Engine) -> None:
    big = ledger.jobs.open(REQUEST, [Planned(f"r{n}", n, estimate=2) for n in range(10_000)])
    ledger.claims.claim(big.id, 0, "unit 0")
    with engine.begin() as connection:
        connection.execute(
            text(
                """
                WITH job AS (
                    INSERT INTO project_export_job
                        (source, tree, project_id, run_id, requested_by, params, plan, consistency, state)
                    SELECT 's', 't', n, 'r', 'jane', '{}', '{}', 'project', 'finished' FROM generate_series(2, 200) n
                    RETURNING id
                )
                INSERT INTO relation_export (job_id, relation, part, parts, unit, position, estimate, state)
                SELECT job.id, 'r' || n, 0, 1, 0, n, 1, 'finished' FROM job, generate_series(1, 500) n
                """
            )
        )
        connection.execute(text("ANALYZE relation_export"))
    progress = ledger.queries.progress(big.id)
    assert (progress.total, progress.started, progress.estimate) == (10_000, 1, 20_000)
    query = progress_query(big.id).compile(engine, compile_kwargs={"literal_binds": True})
    with engine.connect() as connection:
        plan = "\n".join(connection.execute(text(f"EXPLAIN {query}")).scalars())
    assert "Seq Scan on relation_export" not in plan
    assert "relation_export_job_state" in plan or "relation_export_once" in plan


def test_a_ledger_that_became_a_standby_does_not_answer(ledger_dsn: str, ledger: Ledger) -> None:
    with psycopg.connect(ledger_dsn, autocommit=True) as connection:
        name = psycopg.sql.Identifier(str(connection.info.dbname))
        connection.execute(psycopg.sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(name))
    with pytest.raises(LedgerBusy, match="cannot execute INSERT in a read-only transaction"):
        Ledger(make_engine(ledger_dsn)).jobs.open(REQUEST, [Planned("a", 0)])


def test_the_loss_of_a_peer_is_noticed_within_a_minute(ledger_dsn: str, ledger: Ledger) -> None:
    engine = make_engine(ledger_dsn)
    with engine.connect() as connection, socket.socket(fileno=os.dup(_descriptor(connection))) as peer:
        assert peer.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        asked = [
            peer.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
        ]
    assert asked == [30, 10, 3, 60_000]


def _descriptor(connection: Connection) -> int:
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    return driver.fileno()
