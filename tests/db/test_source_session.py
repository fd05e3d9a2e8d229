"""A session only reads, stays within its limits, and classifies each error by what a retry can do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from dev.postgres import Server
from project_export.errors import SnapshotMissing, SourceBusy, SourceRefused
from project_export.source import Limits, Session, translate
from tests.runs import backends, locked, terminate, wait_until

Open = Callable[..., Session]


@pytest.fixture
def source(database: str) -> str:
    """A database with one table of three rows."""
    with psycopg.connect(database) as conn:
        conn.execute("CREATE TABLE items (id int PRIMARY KEY, name text)")
        conn.execute("INSERT INTO items VALUES (1, 'a'), (2, 'b'), (3, 'c')")
    return database


@pytest.fixture
def open_session(source: str) -> Iterator[Open]:
    """Open sessions and close them after the test."""
    opened: list[Session] = []

    def open_session(
        name: str = "test", snapshot: str | None = None, connect: Callable[[], Any] | None = None, **limits: float
    ) -> Session:
        session = Session(connect or (lambda: psycopg.connect(source)), name, Limits(**limits), snapshot)
        opened.append(session)
        return session

    yield open_session
    for session in opened:
        session.close()


def count(session: Session) -> int:
    return int(session.one("SELECT count(*) FROM items")[0])


def execute(source: str, statement: str) -> None:
    with psycopg.connect(source, autocommit=True) as conn:
        conn.execute(statement)


def setting(session: Session, name: str) -> str:
    return str(session.one("SELECT current_setting(%s)", [name])[0])


def test_a_session_is_read_only_and_has_its_settings(open_session: Open) -> None:
    session = open_session(statement_seconds=1.5, lock_seconds=2, idle_seconds=60)
    assert setting(session, "transaction_read_only") == "on"
    assert setting(session, "transaction_isolation") == "repeatable read"
    assert setting(session, "statement_timeout") == "1500ms"
    assert setting(session, "lock_timeout") == "2s"
    assert setting(session, "idle_in_transaction_session_timeout") == "1min"
    assert (setting(session, "jit"), setting(session, "TimeZone")) == ("off", "UTC")


def test_only_a_session_with_an_end_has_a_limit_for_its_transaction(open_session: Open) -> None:
    assert setting(open_session(), "transaction_timeout") == "0"
    assert setting(open_session(transaction_seconds=90), "transaction_timeout") == "90s"
    assert setting(open_session(transaction_seconds=1e9), "transaction_timeout") == "2147483647ms"


def test_the_longest_transaction_is_ended_by_the_server(open_session: Open) -> None:
    session = open_session(transaction_seconds=0.1)
    with pytest.raises(SourceBusy) as caught:
        session.one("SELECT pg_sleep(10)")
    assert caught.value.sqlstate == "25P04"


@pytest.mark.parametrize(
    "statement", ["INSERT INTO items VALUES (4, 'd')", "DELETE FROM items", "CREATE TABLE more (id int)"]
)
def test_a_write_is_refused(open_session: Open, source: str, statement: str) -> None:
    with pytest.raises(SourceRefused, match="read-only transaction") as caught:
        open_session().one(statement)
    assert caught.value.sqlstate == "25006"
    assert count(open_session()) == 3


def test_a_session_reads_the_source_as_of_its_start(open_session: Open, source: str) -> None:
    session = open_session()
    execute(source, "INSERT INTO items VALUES (4, 'd')")
    assert count(session) == 3
    session.renew()
    assert count(session) == 4
    assert setting(session, "transaction_read_only") == "on"


def test_what_others_write_does_not_change_a_shared_snapshot(open_session: Open, source: str) -> None:
    holder = open_session("holder")
    snapshot = holder.export_snapshot()
    execute(source, "DELETE FROM items WHERE id = 1")
    execute(source, "UPDATE items SET name = 'changed'")
    borrower = open_session("borrower", snapshot)
    query = sql.SQL("SELECT name FROM items ORDER BY id").format()
    assert list(borrower.rows(query)) == [(b"a",), (b"b",), (b"c",)]
    assert count(open_session("another")) == 2


@pytest.mark.parametrize("snapshot", ["00000003-0000001B-1", "no snapshot"])
def test_a_snapshot_that_nobody_holds_is_missing(open_session: Open, source: str, snapshot: str) -> None:
    with pytest.raises(SnapshotMissing, match=f"snapshot {snapshot} is gone"):
        open_session("borrower", snapshot)
    assert backends(source, "borrower") == []


def test_a_snapshot_ends_with_its_holder(open_session: Open) -> None:
    holder = open_session()
    snapshot = holder.export_snapshot()
    holder.close()
    with pytest.raises(SnapshotMissing):
        open_session("borrower", snapshot)


def test_a_statement_that_takes_too_long_may_be_retried(open_session: Open) -> None:
    session = open_session(statement_seconds=0.05)
    with pytest.raises(SourceBusy, match=r"statement timeout \[SQLSTATE 57014\]") as caught, session.attempt("slow"):
        session.one("SELECT pg_sleep(5)")
    assert caught.value.sqlstate == "57014"


def test_a_lock_that_is_waited_for_too_long_may_be_retried(open_session: Open, source: str) -> None:
    session = open_session(lock_seconds=0.05)
    with locked(source, "items"), pytest.raises(SourceBusy) as caught, session.attempt("items"):
        count(session)
    assert caught.value.sqlstate == "55P03"
    assert count(session) == 3


def test_a_missing_privilege_is_refused_and_names_the_table(open_session: Open, source: str, role: str) -> None:
    session = open_session(connect=lambda: psycopg.connect(source, options=f"-c role={role}"))
    with pytest.raises(SourceRefused, match="permission denied for table items") as caught:
        count(session)
    assert caught.value.sqlstate == "42501"


def test_an_attempt_leaves_the_transaction_usable_after_an_error(open_session: Open, source: str) -> None:
    session = open_session()
    execute(source, "INSERT INTO items VALUES (4, 'd')")
    with pytest.raises(SourceRefused), session.attempt("first"):
        session.one("SELECT 1/0")
    with session.attempt("second"):
        assert count(session) == 3


def test_the_application_name_says_what_is_read(open_session: Open, source: str) -> None:
    session = open_session("project_export job 7 unit 1")
    assert backends(source) == ["project_export job 7 unit 1"]
    with session.attempt("issues 2/3"):
        assert backends(source) == ["project_export job 7 unit 1 issues 2/3"]
    with session.attempt("labels"):
        assert backends(source) == ["project_export job 7 unit 1 labels"]


def test_a_long_application_name_is_cut(open_session: Open, source: str) -> None:
    session = open_session("project_export " + "x" * 80)
    with session.attempt("issues"):
        assert [len(name) for name in backends(source)] == [63]


def test_a_lost_connection_may_be_retried_and_is_known_to_be_lost(open_session: Open, source: str) -> None:
    session = open_session("victim")
    assert not session.lost
    terminate(source, "victim%")
    with pytest.raises(SourceBusy, match="victim"), session.attempt("items"):
        count(session)
    assert session.lost


def test_a_lost_connection_ends_a_page_by_page_read(open_session: Open, source: str) -> None:
    session = open_session("victim")
    query = sql.SQL("SELECT id FROM items ORDER BY id").format()
    with pytest.raises(SourceBusy), session.attempt("items"):
        for _ in session.pages(query, None, lambda: 1):
            terminate(source, "victim%")
    assert session.lost


def test_a_source_that_is_down_may_be_retried(open_session: Open) -> None:
    with pytest.raises(SourceBusy, match="test, connect: "):
        open_session(connect=lambda: psycopg.connect("host=127.0.0.1 port=1 password=s3cret dbname=x"))


def test_a_wrong_password_is_not_repeated_in_the_message(open_session: Open, server: Server) -> None:
    dsn = server.uri().replace(server.uri().split(":")[2].split("@")[0], "wr0ng")
    with pytest.raises((SourceBusy, SourceRefused)) as caught:
        open_session(connect=lambda: psycopg.connect(dsn))
    assert "wr0ng" not in str(caught.value)


def test_cancelling_from_another_thread_ends_the_statement_and_keeps_the_session(
    open_session: Open, source: str
) -> None:
    session = open_session("sleeper")
    ended: list[BaseException] = []

    def sleep() -> None:
        try:
            with session.attempt("sleep"):
                session.one("SELECT pg_sleep(60)")
        except SourceBusy as error:
            ended.append(error)

    thread = threading.Thread(target=sleep)
    thread.start()
    wait_until(lambda: backends(source, "sleeper sleep"))
    wait_until(lambda: session.cancel() or ended)
    thread.join()
    assert count(session) == 3


def test_pages_have_the_size_that_is_asked_for(open_session: Open) -> None:
    sizes = iter([2, 5, 5])
    query = sql.SQL("SELECT id FROM items ORDER BY id").format()
    pages = open_session().pages(query, None, lambda: next(sizes))
    assert list(pages) == [[(1,), (2,)], [(3,)]]


def test_the_catalogue_knows_tables_views_domains_and_partitions(open_session: Open, source: str) -> None:
    for statement in (
        "CREATE DOMAIN word AS varchar",
        "CREATE SCHEMA other CREATE TABLE hidden (id int)",
        "CREATE TABLE parts (id bigint, gone int, w word, at timestamptz, list int[]) PARTITION BY RANGE (id)",
        "ALTER TABLE parts DROP gone",
        "CREATE VIEW seen AS SELECT id FROM items",
    ):
        execute(source, statement)
    found = open_session().catalogue(frozenset({"parts", "seen", "hidden", "absent"}))
    assert found == {
        "parts": {"id": "int8", "w": "varchar", "at": "timestamptz", "list": "_int4"},
        "seen": {"id": "int4"},
    }


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("08006", SourceBusy),
        ("40001", SourceBusy),
        ("40P01", SourceBusy),
        ("53100", SourceBusy),
        ("53300", SourceBusy),
        ("55P03", SourceBusy),
        ("57014", SourceBusy),
        ("57P01", SourceBusy),
        ("57P03", SourceBusy),
        ("58030", SourceBusy),
        ("25P03", SourceBusy),
        ("22003", SourceRefused),
        ("22021", SourceRefused),
        ("25006", SourceRefused),
        ("28P01", SourceRefused),
        ("3D000", SourceRefused),
        ("42501", SourceRefused),
        ("42P01", SourceRefused),
        ("42703", SourceRefused),
        ("XX001", SourceRefused),
    ],
)
def test_the_sqlstate_decides_about_a_retry(state: str, kind: type[SourceBusy | SourceRefused]) -> None:
    error = translate(psycopg.errors.lookup(state)("no"), "here")
    assert type(error) is kind
    assert isinstance(error, (SourceBusy, SourceRefused))
    assert error.sqlstate == state
    assert str(error).partition(". ")[0] == f"here: no [SQLSTATE {state}]"


@pytest.mark.parametrize("kind", [psycopg.DatabaseError, psycopg.OperationalError, psycopg.InterfaceError])
def test_an_error_of_libpq_itself_may_pass(kind: type[psycopg.Error]) -> None:
    assert type(translate(kind("out of memory for query result"), "here")) is SourceBusy


def test_what_psycopg_cannot_convert_does_not_pass() -> None:
    assert type(translate(psycopg.DataError("date too large"), "here")) is SourceRefused
