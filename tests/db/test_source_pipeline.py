"""Statements are sent ahead over one connection: what fails, is cancelled or given up leaves the session usable."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from project_export.errors import ProjectExportError, SourceBusy, SourceRefused
from project_export.source import Limits, Reader, Session
from project_export.source.batches import Asked, Batch, Batches, Making
from project_export.tree import bind, load, tables
from tests.bouncer import bouncing
from tests.runs import backends, terminate, wait_until

TREE = load("gitlab")


@pytest.fixture
def session(generated: str) -> Iterator[Session]:
    with Session(lambda: psycopg.connect(generated), "piped", Limits()) as session:
        yield session


@pytest.fixture
def reader(session: Session) -> Reader:
    return Reader(session, bind(TREE, session.catalogue(tables(TREE))), 1, batch_rows=2)


def series(number: int) -> Asked:
    return Asked(b"SELECT 7 %% 4, %(a)s::text FROM generate_series(1, %(n)s)", {"n": number, "a": "b"}, "series")


TRICKLE = Asked(b"SELECT repeat('x', 20000), pg_sleep(0.02)::text FROM generate_series(1, 20)", {}, "trickle")
"""A statement whose rows arrive slowly."""


def test_rows_arrive_in_the_order_of_the_statements(session: Session) -> None:
    for number in (20, 0, 9):
        asked = series(number)
        session.pipeline.send(asked.query, asked.params)
    found = [[row for some in session.pipeline.rows() for row in some] for _ in range(3)]
    assert found == [[(3, b"b")] * number for number in (20, 0, 9)]
    session.pipeline.close()
    assert session.one("SELECT 1") == (1,)


def test_two_batches_are_made_at_once_and_each_gets_its_rows(session: Session) -> None:
    def making(number: int) -> Making[int]:
        def below(more: int) -> Making[int]:
            return len((yield series(number + more)))

        rows = yield series(number)
        return len(rows) + sum((yield [below(more) for more in range(3)]))

    batches = Batches(session)
    first, second, large = Batch[int](), Batch[int](), Batch[int](budget=20)
    for batch, number in ((first, 1), (second, 100), (large, 15)):
        batches.start(batch, making(number))
    assert batches.finish(first) == 4 + 3
    assert batches.finish(large) is None
    assert batches.finish(second) == 403
    assert session.one("SELECT 1") == (1,)


def test_what_has_arrived_of_a_statement_is_read_and_its_batch_goes_on_when_all_has(session: Session) -> None:
    def making() -> Making[int]:
        return len((yield TRICKLE)) + len((yield series(3)))

    batches, batch = Batches(session), Batch[int]()
    batches.start(batch, making())
    wait_until(lambda: batches.ready)
    batches.go_on()
    assert not batches.ready
    assert not batch.done
    assert batches.finish(batch) == 20 + 3


def test_a_statement_that_is_given_up_while_its_rows_arrive_leaves_no_row_to_the_next(session: Session) -> None:
    def making(asked: Asked) -> Making[int]:
        return len((yield asked))

    batches, next_one = Batches(session), Batch[int]()
    batches.start(Batch[int](), making(TRICKLE))
    wait_until(lambda: batches.ready)
    batches.go_on()
    batches.close()
    batches.start(next_one, making(series(3)))
    assert batches.finish(next_one) == 3


def test_the_error_of_a_statement_is_its_own_and_the_savepoint_still_there(session: Session) -> None:
    session.mark()
    batches = Batches(session)

    def making(query: bytes) -> Making[int]:
        return len((yield Asked(query, {}, "division")))

    bad, good = Batch[int](), Batch[int]()
    batches.start(bad, making(b"SELECT 'x'::text, 1 / 0"))
    batches.start(good, making(b"SELECT 'x'::text"))
    with pytest.raises(SourceRefused, match=r"piped, division: division by zero \[SQLSTATE 22012\]"):
        batches.finish(bad)
    batches.close()
    session.back()
    assert session.one("SELECT 1") == (1,)


def test_a_statement_is_cancelled_with_those_behind_it(generated: str, session: Session) -> None:
    pipeline = session.pipeline
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(SourceBusy, match="57014"), session.attempt("sleep"):
            try:
                for _ in range(2):
                    pipeline.send(b"SELECT pg_sleep(60)", {})
                wait_until(lambda: backends(generated, "piped sleep"))
                pool.submit(lambda: time.sleep(0.2) or session.cancel())
                list(pipeline.rows())
            finally:
                pipeline.close()
        assert session.one("SELECT 1") == (1,)


def test_reading_that_is_given_up_uses_one_connection_and_leaves_the_session_usable(
    generated: str, session: Session, reader: Reader
) -> None:
    chunks = reader.read("issues")
    next(chunks)
    with psycopg.connect(generated) as other:
        count = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'piped%'"
        assert other.execute(count).fetchone() == (1,)
    with pytest.raises(ProjectExportError, match="pipeline mode"):  # the next batch is on its way
        next(session.pages("SELECT 1", None, lambda: 1))  # type: ignore[arg-type]
    chunks.close()
    assert session.one("SELECT 1") == (1,)
    assert sum(chunk.records for chunk in reader.read("issues")) == reader.count("issues")


def test_a_connection_that_is_lost_while_batches_are_on_their_way_may_be_retried(
    generated: str, session: Session, reader: Reader
) -> None:
    chunks = reader.read("issues")
    next(chunks)
    terminate(generated, "piped%")
    wait_until(lambda: not backends(generated, "piped"))
    with pytest.raises(SourceBusy, match=r"^piped, issues"):
        list(chunks)
    assert session.lost


def test_rows_of_later_statements_do_not_fill_memory_before_their_turn(session: Session) -> None:
    pipeline = session.pipeline
    pipeline.send(b"SELECT 1", {})
    for _ in range(32):
        pipeline.send(b"SELECT repeat('x', 1 << 20)", {})
    wait_until(lambda: pipeline.ready)
    before = resident()
    for _ in range(100):
        assert pipeline.ready
        time.sleep(0.005)
    assert resident() - before < 8 << 20
    pipeline.close()
    assert session.one("SELECT 1") == (1,)


def resident() -> int:
    """Return the bytes of memory that this process has now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def prepared(session: Session) -> list[str]:
    query = "SELECT coalesce(array_agg(statement), '{}') FROM pg_prepared_statements"
    found: list[str] = session.one(query)[0]
    return found


def test_a_statement_that_is_sent_again_is_prepared_once_for_each_type_of_its_values(session: Session) -> None:
    numbers = [3, 20, 0, 9, 70_000, 70_001, 70_002]
    for number in numbers:
        asked = series(number)
        session.pipeline.send(asked.query, asked.params, prepared=True)
    found = [sum(len(some) for some in session.pipeline.rows()) for _ in numbers]
    assert found == numbers
    session.pipeline.close()
    assert prepared(session) == ["SELECT 7 % 4, $1::text FROM generate_series(1, $2)"] * 2


def test_a_statement_that_could_not_be_prepared_is_prepared_when_it_is_sent_again(session: Session) -> None:
    pipeline, asked = session.pipeline, series(5)
    pipeline.send(asked.query, asked.params, prepared=True)
    assert sum(len(some) for some in pipeline.rows()) == 5
    pipeline.close()
    session.mark()
    pipeline.send(b"SELECT 1 / 0", {})
    for _ in range(2):
        pipeline.send(asked.query, asked.params, prepared=True)
    with pytest.raises(SourceRefused, match="division"), session.piped("divide"):
        list(pipeline.rows())
    pipeline.close()
    session.back()
    assert prepared(session) == []
    for _ in range(3):
        pipeline.send(asked.query, asked.params, prepared=True)
    assert [sum(len(some) for some in pipeline.rows()) for _ in range(3)] == [5] * 3
    pipeline.close()
    assert len(prepared(session)) == 1


def test_only_statements_that_an_index_serves_are_prepared(generated_copy: str) -> None:
    with psycopg.connect(generated_copy) as conn:
        query = "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = 'notes'::regclass AND NOT indisunique"
        for (name,) in conn.execute(query).fetchall():
            conn.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
    with Session(lambda: psycopg.connect(generated_copy), "piped", Limits()) as session:
        reader = Reader(session, bind(TREE, session.catalogue(tables(TREE))), 1, batch_rows=1)
        assert sum(chunk.records for chunk in reader.read("issues")) == reader.count("issues") > 3
        kept = " ".join(prepared(session))
    assert ' FROM "issues"' in kept
    assert ' FROM "label_links"' in kept
    assert ' FROM "notes"' not in kept


def test_nothing_is_prepared_through_a_pooler(generated: str, tmp_path: Path) -> None:
    with (
        bouncing(generated, tmp_path / "pooler") as dsn,
        Session(lambda: psycopg.connect(dsn), "piped", Limits()) as session,
    ):
        reader = Reader(session, bind(TREE, session.catalogue(tables(TREE))), 1, batch_rows=1)
        assert sum(chunk.records for chunk in reader.read("issues")) == reader.count("issues") > 3
        assert prepared(session) == []
