"""All units read one moment: while others write, and on a standby."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier, Literal

from dev.postgres import Server
from project_export.errors import SnapshotMissing, SourceRefused, UnitUnfinished
from project_export.ledger import Claim
from project_export.sample import schema
from project_export.sample.generate import generate
from project_export.steps import Context, Holder
from project_export.steps.sessions import UnitSource
from tests import reader
from tests.archives import Records, read_archive
from tests.runs import assert_equal, attempts, context, merge, path_of, started, terminate, wait_until, work, worker

Make = Callable[..., Context]
CHANGES = (
    "UPDATE issues SET title = title || '!', relative_position = relative_position / 2",
    "UPDATE notes SET note = note || '!', updated_at = now() WHERE id % 3 = 0",
    "UPDATE merge_requests SET created_at = created_at - interval '1 day' * (id % 7)",
    "DELETE FROM award_emoji WHERE id IN (SELECT id FROM award_emoji ORDER BY id LIMIT 2)",
    "DELETE FROM label_links WHERE id IN (SELECT id FROM label_links ORDER BY id LIMIT 2)",
    """INSERT INTO notes SELECT (jsonb_populate_record(n, jsonb_build_object('id', n.id + 1000000))).* FROM notes n
       ORDER BY n.id DESC LIMIT 5 ON CONFLICT DO NOTHING""",
    """INSERT INTO issues
       SELECT (jsonb_populate_record(i, jsonb_build_object('id', i.id + 1000000, 'iid', i.iid + 1000000))).*
       FROM issues i ORDER BY i.id DESC LIMIT 5 ON CONFLICT DO NOTHING""",
)


@pytest.fixture
def make(ledger_dsn: str, tmp_path: Path) -> Make:
    """Return a context on a source; settings may be changed."""
    return lambda source, **settings: context(source, ledger_dsn, tmp_path, **settings)


def test_an_export_shows_the_moment_of_its_snapshot_while_others_write(generated_copy: str, make: Make) -> None:
    ctx = make(generated_copy, units=3, part_rows=10)
    created = started(ctx)
    holder = Holder(ctx, created.job_id)
    expected = as_of(generated_copy, str(ctx.ledger.queries.job(created.job_id).snapshot_id))
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(write, generated_copy, stop)
        try:
            wait_until(lambda: written.done() or changed(generated_copy))
            assert work(ctx, created) == []
        finally:
            stop.set()
        assert written.result() >= len(CHANGES)
    holder.close()
    parts = {row.relation: row.parts for row in ctx.ledger.queries.rows(created.job_id)}
    assert parts["issues"] > 1
    found = read_archive(path_of(merge(ctx, created)))
    assert_equal(found, expected)
    with psycopg.connect(generated_copy) as conn:
        assert reader.read_project(conn, 1)["issues"] != expected["issues"]


def write(source: str, stop: threading.Event) -> int:
    """Change rows, each time in a transaction of its own, until told to stop; return how often."""
    times = 0
    with psycopg.connect(source, autocommit=True) as conn:
        while not stop.is_set():
            conn.execute(CHANGES[times % len(CHANGES)].encode())
            times += 1
    return times


def changed(source: str) -> bool:
    with psycopg.connect(source) as conn:
        return conn.execute("SELECT 1 FROM issues WHERE id > 1000000").fetchone() is not None


def as_of(source: str, snapshot: str) -> Records:
    """Return what the second reader finds in a held snapshot."""
    with psycopg.connect(source) as conn:
        conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        conn.execute(SQL("SET TRANSACTION SNAPSHOT {}").format(Literal(snapshot)))
        return {name: records for name, records in reader.read_project(conn, 1).items() if records}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server]]:
    """A server with a small sample and a streaming standby of it."""
    folder = tmp_path_factory.mktemp("pair")
    primary = Server(folder / "primary", durable=False)
    standby = Server(folder / "standby", durable=False)
    try:
        primary.start()
        with psycopg.connect(primary.create_database("gitlab")) as conn:
            schema.create(conn)
            generate(conn, 1, 0.1)
        yield primary, primary.standby(folder / "standby")
    finally:
        standby.stop()
        primary.stop()


@pytest.fixture
def standby(pair: tuple[Server, Server]) -> Iterator[str]:
    """The standby's source, with hot_standby_feedback."""
    uri = pair[1].uri("gitlab")
    feedback(uri, "on")
    yield uri
    feedback(uri, "off")


def feedback(uri: str, value: str) -> None:
    with psycopg.connect(uri, autocommit=True) as conn:
        conn.execute(SQL("ALTER SYSTEM SET {} = {}").format(Identifier("hot_standby_feedback"), Literal(value)))
        conn.execute("SELECT pg_reload_conf()")
    wait_until(lambda: _shown(uri, "hot_standby_feedback") == value)


def _shown(uri: str, name: str) -> str:
    with psycopg.connect(uri) as conn:
        return str(conn.execute("SELECT current_setting(%s)", [name]).fetchone()[0])  # type: ignore[index]


def test_a_standby_gives_the_same_records_as_its_primary(pair: tuple[Server, Server], standby: str, make: Make) -> None:
    ctx = make(standby, units=2)
    created = started(ctx)
    holder = Holder(ctx, created.job_id)
    assert work(ctx, created) == []
    holder.close()
    with psycopg.connect(pair[0].uri("gitlab")) as conn:
        expected = {name: records for name, records in reader.read_project(conn, 1).items() if records}
    assert_equal(read_archive(path_of(merge(ctx, created))), expected)


def test_a_standby_without_feedback_is_refused_for_a_shared_snapshot_only(
    pair: tuple[Server, Server], make: Make
) -> None:
    ctx = make(pair[1].uri("gitlab"), units=2)
    created = started(ctx)
    with pytest.raises(SourceRefused, match=r"standby without hot_standby_feedback.*consistency=relation"):
        Holder(ctx, created.job_id)
    ctx.ledger.jobs.fail(created.job_id, [])
    apart = started(ctx, run_id="dag/second", consistency="relation")
    assert work(ctx, apart) == []


def test_on_a_standby_a_part_counts_only_while_its_snapshot_is_held(
    standby: str, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx = make(standby, units=2, snapshot_wait_seconds=0.1)
    created = started(ctx, "labels", "boards")
    holder = Holder(ctx, created.job_id)
    confirm = UnitSource.confirm

    def confirm_too_late(source: UnitSource, claim: Claim) -> None:
        terminate(standby, "%snapshot%")
        wait_until(lambda: not holds(standby))
        confirm(source, claim)

    monkeypatch.setattr(UnitSource, "confirm", confirm_too_late)
    with pytest.raises((SnapshotMissing, UnitUnfinished), match="snapshot"):
        worker(ctx, created).run()
    holder.close()
    assert {row.state for row in ctx.ledger.queries.rows(created.job_id)} == {"queued"}
    monkeypatch.undo()
    again = Holder(ctx, created.job_id)
    assert work(ctx, created, attempt=2) == []
    found = read_archive(path_of(merge(ctx, created)))
    again.close()
    with psycopg.connect(standby) as conn:
        expected = reader.read_project(conn, 1)
    assert_equal(found, {name: expected[name] for name in ("project", "labels", "boards")})
    assert attempts(ctx, created)["labels"] == 2


def holds(source: str) -> bool:
    with psycopg.connect(make_conninfo(source, application_name="looks")) as conn:
        query = "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE '%snapshot%'"
        return conn.execute(query).fetchone() is not None
