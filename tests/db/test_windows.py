"""Where a window starts, and that no change is lost which is committed late."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, TimeoutError
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest

from dev.postgres import Server
from project_export.archive.manifest import Manifest
from project_export.errors import AwaitsTurn, BadRequest, WindowOpen
from project_export.ledger import Job
from project_export.request import Request
from project_export.steps import Context, Created, create, windows
from project_export.steps.after import event
from project_export.steps.request import request_export
from project_export.store import manifest_of
from tests.archives import read_archive
from tests.commands import run
from tests.databases import Databases
from tests.runs import context, merge, work

TREE = """
name: lists
root: {relation: list, table: lists, keys: [name]}
relations:
  - relation: items
    table: items
    join: {list_id: id}
    keys: [id, text]
    changed: changed_at
    merge: [id]
  - {relation: tags, table: tags, join: {list_id: id}, keys: [name]}
"""
MARGIN = timedelta(seconds=0.2)
OVERLAP = timedelta(seconds=30)
_LISTS = count(1)


@pytest.fixture(scope="module")
def source(databases: Databases) -> Iterator[str]:
    with databases.new() as uri:
        with psycopg.connect(uri) as conn:
            conn.execute("CREATE TABLE lists (id int PRIMARY KEY, name text)")
            conn.execute("CREATE TABLE items (id serial PRIMARY KEY, list_id int, text text, changed_at timestamptz)")
            conn.execute("CREATE TABLE tags (id int PRIMARY KEY, list_id int, name text)")
            conn.execute("INSERT INTO lists SELECT n, 'list ' || n FROM generate_series(1, 40) AS n")
        yield uri


class Exports:
    """Exports of one list, and what was in them."""

    def __init__(self, ctx: Context, project_id: int) -> None:
        self.ctx = ctx
        self.project_id = project_id
        self._runs = 0

    def full(self) -> Job:
        return self.run(Request(self.project_id))

    def changes(self, start: datetime, end: datetime) -> Job:
        return self.run(Request(self.project_id, mode="changes", window_start=start, window_end=end))

    def ids(self, job: Job) -> list[int]:
        assert job.archive_uri is not None
        records = read_archive(Path(job.archive_uri.removeprefix("file://")))
        return [record["id"] for record in records.get("items", ())]

    def run(self, request: Request) -> Job:
        self._runs += 1
        run_id = f"run {self.project_id} {self._runs}"
        created = create(self.ctx, request, run_id=run_id, requested_by="jane", run_alive=lambda _: True)
        assert work(self.ctx, created) == []
        merge(self.ctx, created)
        return self.ctx.ledger.queries.job(created.job_id)


@pytest.fixture
def exports(source: str, ledger_dsn: str, tmp_path: Path) -> Exports:
    """Exports of a list of its own."""
    (tmp_path / "lists.yaml").write_text(TREE)
    settings = {"window_margin_seconds": MARGIN.total_seconds(), "window_overlap_seconds": OVERLAP.total_seconds()}
    ctx = context(source, ledger_dsn, tmp_path / "store", tree=str(tmp_path / "lists.yaml"), units=1, **settings)
    return Exports(ctx, next(_LISTS))


def now() -> datetime:
    """Return what the application's clock shows."""
    return datetime.now(timezone.utc)


def insert(conn: psycopg.Connection[Any], list_id: int, stamp: datetime) -> int:
    row = conn.execute(
        "INSERT INTO items (list_id, text, changed_at) VALUES (%s, 'x', %s) RETURNING id", [list_id, stamp]
    ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture
def conn(source: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(source, autocommit=True) as conn:
        yield conn


EARLY = datetime(2001, 1, 1, tzinfo=timezone.utc)


# Where a window starts


def test_a_window_starts_where_the_last_one_ended_so_that_skipped_days_leave_no_gap(exports: Exports) -> None:
    full = exports.full()
    assert full.snapshot_at is not None
    asked = now() - MARGIN
    first = exports.changes(asked - timedelta(hours=1), now())
    assert (first.mode, first.predecessor_id) == ("changes", full.id)
    assert first.window_start == asked - timedelta(hours=1)  # earlier than the snapshot with the overlap
    assert first.plan["window"]["guard"] == "transactions"
    later = exports.changes(now() - timedelta(milliseconds=1), now())
    assert (later.predecessor_id, later.window_start) == (first.id, first.window_end)
    assert first.window_end is not None
    again = exports.changes(first.window_end - timedelta(milliseconds=1), first.window_end)
    assert (again.predecessor_id, again.window_start) == (full.id, full.snapshot_at - OVERLAP - MARGIN)
    newest = exports.full()  # what follows a newer full export can be applied to either
    assert newest.snapshot_at is not None
    last = exports.changes(now() - timedelta(milliseconds=1), now())
    assert later.window_end is not None
    assert (last.predecessor_id, last.window_start) == (later.id, newest.snapshot_at - OVERLAP - MARGIN)


def test_without_an_earlier_export_everything_is_exported(exports: Exports, conn: psycopg.Connection[Any]) -> None:
    old = insert(conn, exports.project_id, EARLY)
    job = exports.changes(now() - MARGIN, now())
    assert (job.window_start, job.predecessor_id) == (None, None)
    assert old in exports.ids(job)


def test_only_an_export_of_all_wanted_relations_can_be_followed(exports: Exports) -> None:
    exports.run(Request(exports.project_id, ("tags",)))
    end = now()
    window = Request(exports.project_id, mode="changes", window_start=end - MARGIN, window_end=end)
    assert exports.run(window).predecessor_id is None
    assert exports.run(replace(window, relations=("tags",))).predecessor_id is not None


def test_a_window_that_has_not_ended_is_refused(exports: Exports) -> None:
    with pytest.raises(BadRequest, match="window_end is in the future"):
        exports.changes(now(), now() + timedelta(minutes=5))


def test_a_job_that_was_queued_before_its_run_gets_its_window_when_it_starts(exports: Exports) -> None:
    full, end = exports.full(), now()
    request = Request(exports.project_id, mode="changes", window_start=end - MARGIN, window_end=end)
    alive = lambda _: True  # noqa: E731
    queued = request_export(exports.ctx, request, run_id="queued", requested_by="jane", run_alive=alive)
    assert (queued.window_start, queued.predecessor_id) == (end - MARGIN, None)
    create(exports.ctx, request, run_id="queued", requested_by="jane", run_alive=alive)
    job = exports.ctx.ledger.queries.job(queued.id)
    assert (job.predecessor_id, job.window_end) == (full.id, end)
    assert job.window_start is not None
    assert job.window_start < end - MARGIN


def test_a_shell_exports_changes(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lists.yaml").write_text(TREE)
    monkeypatch.setenv("PROJECT_EXPORT_TREE", str(tmp_path / "lists.yaml"))
    monkeypatch.setenv("PROJECT_EXPORT_WINDOW_MARGIN_SECONDS", "0")
    out = tmp_path / "out"
    command = ["export", "--project-id", "40", "--source", source, "--out", str(out), "--jobs", "1"]
    assert run(command).exit_code == 0
    done = run([*command, "--mode", "changes"])
    assert (done.exit_code, done.stderr) == (2, "error: mode=changes needs window_start and window_end\n")
    end = now()
    window = ["--window-start", (end - timedelta(seconds=1)).isoformat(), "--window-end", end.isoformat()]
    done = run([*command, "--mode", "changes", *window])
    assert done.exit_code == 0, done.output
    assert json.loads(run(["status", "--out", str(out), "--json"]).stdout)[0]["mode"] == "changes"
    archive = Path(done.stdout.splitlines()[-1].removeprefix("archive: "))
    document = json.loads((archive.parent / "project.manifest.json").read_text())
    assert (document["mode"], document["window"]["predecessor_job_id"]) == ("changes", 1)


# What others see of it


def test_deltas_and_full_exports_are_series_of_their_own(exports: Exports) -> None:
    full = exports.full()
    delta = exports.changes(now() - MARGIN, now())
    queries, project = exports.ctx.ledger.queries, ("source", "lists", exports.project_id)
    for latest in (queries.latest_job, queries.latest_archive):
        assert [found.id for found in (latest(*project), latest(*project, "changes")) if found] == [full.id, delta.id]
    # While a full export runs, the newest full archive does not expire, although a delta is newer.
    create(exports.ctx, Request(exports.project_id), run_id="x", requested_by="jane", run_alive=lambda _: True)
    assert [job.id for job in exports.ctx.ledger.retention.expired_archives(0)] == [delta.id]


def test_the_manifest_says_what_an_archive_of_changes_is(exports: Exports) -> None:
    full, delta = exports.full(), exports.changes(now() - timedelta(hours=1), now())
    assert full.snapshot_at is not None
    whole, changes = (manifest_of_job(job) for job in (full, delta))
    assert (whole.mode, whole.window) == ("full", None)
    assert whole.next_window_start == (full.snapshot_at - OVERLAP - MARGIN).isoformat()
    assert changes.mode == "changes"
    assert changes.window is not None
    assert delta.window_start is not None
    assert delta.window_end is not None
    assert changes.window.start == delta.window_start.isoformat()
    assert changes.window.end == changes.next_window_start == delta.window_end.isoformat()
    assert (changes.window.predecessor_job_id, changes.window.guard) == (full.id, "transactions")
    assert "records that were deleted" in changes.window.unseen[0]
    limited = {relation.relation: relation.changed_at for relation in changes.relations}
    assert limited == {"list": None, "items": "changed_at", "tags": None}
    assert {relation.changed_at for relation in whole.relations} == {None}


def test_programs_learn_the_window_with_the_archive(exports: Exports) -> None:
    exports.full()
    delta = exports.changes(now() - MARGIN, now())
    assert delta.window_start is not None
    assert delta.window_end is not None
    said = event(exports.ctx, delta.id)
    window = (delta.window_start.isoformat(), delta.window_end.isoformat())
    assert (said["mode"], said["window_start"], said["window_end"]) == ("changes", *window)


def manifest_of_job(job: Job) -> Manifest:
    assert job.archive_uri is not None
    return Manifest.from_json(Path(manifest_of(job.archive_uri).removeprefix("file://")).read_bytes())


# Late commits


def test_a_change_that_is_committed_late_is_not_lost(exports: Exports, source: str) -> None:
    exports.full()
    with psycopg.connect(source) as writer:
        late = insert(writer, exports.project_id, now())
        time.sleep(0.05)
        with ThreadPoolExecutor(1) as pool:
            job = pool.submit(exports.changes, now() - MARGIN, now())
            with pytest.raises(TimeoutError):  # it waits
                job.result(2)
            writer.commit()
            assert late in exports.ids(job.result(30))


def test_a_change_of_a_prepared_transaction_is_not_lost(exports: Exports, source: str) -> None:
    exports.full()
    with psycopg.connect(source) as writer:
        writer.tpc_begin("late change")
        late = insert(writer, exports.project_id, now())
        writer.tpc_prepare()
        time.sleep(0.05)
        with ThreadPoolExecutor(1) as pool:
            job = pool.submit(exports.changes, now() - MARGIN, now())
            with pytest.raises(TimeoutError):
                job.result(2)
            writer.tpc_commit()
            assert late in exports.ids(job.result(30))


def test_a_transaction_that_stays_open_is_named(exports: Exports, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    exports.full()
    monkeypatch.setattr(windows, "_PATIENCE_SECONDS", 0.3)
    with psycopg.connect(source, application_name="rails") as writer:
        writer.execute("SELECT 1")
        time.sleep(0.05)
        with pytest.raises(WindowOpen, match=r"the transaction of process \d+ \(rails\) has been open since 20"):
            exports.changes(now() - MARGIN, now())


def test_a_job_in_the_queue_asks_again_while_a_transaction_is_open_but_not_for_ever(
    exports: Exports, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    exports.full()
    monkeypatch.setattr(windows, "_GLANCE_SECONDS", 0.3)
    end = now()
    request = Request(exports.project_id, mode="changes", window_start=end - MARGIN, window_end=end, if_running="wait")

    def ask(ctx: Context) -> Created:
        arguments: dict[str, Any] = {"run_id": "dag/waits", "requested_by": "jane", "run_alive": lambda _: True}
        return create(ctx, request, queued=True, **arguments)

    with psycopg.connect(source, application_name="rails") as writer:
        late = insert(writer, exports.project_id, end - MARGIN / 2)
        time.sleep(0.05)
        with pytest.raises(AwaitsTurn, match=r"Job \d+ waits: .*the transaction of process \d+ \(rails\)") as waits:
            ask(exports.ctx)
        assert waits.value.seconds == 60
        impatient = exports.ctx.settings.model_copy(update={"window_wait_seconds": 0.0})
        with pytest.raises(WindowOpen):
            ask(replace(exports.ctx, settings=impatient))
        writer.commit()
    created = ask(exports.ctx)
    assert work(exports.ctx, created) == []
    merge(exports.ctx, created)
    assert late in exports.ids(exports.ctx.ledger.queries.job(created.job_id))


def test_sessions_of_exports_and_of_other_databases_do_not_delay_a_window(
    exports: Exports, source: str, server: Server
) -> None:
    exports.full()
    with exports.ctx.session("job 1 snapshot") as holder, psycopg.connect(server.uri()) as other:
        other.execute("SELECT 1")
        holder.one("SELECT 1")
        time.sleep(0.05)
        assert exports.changes(now() - MARGIN, now()).plan["window"]["guard"] == "transactions"


def test_a_role_that_sees_no_transactions_gets_an_overlap(
    role: str, exports: Exports, source: str, conn: psycopg.Connection[Any], caplog: pytest.LogCaptureFixture
) -> None:
    conn.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    try:
        connect = lambda: psycopg.connect(source, options=f"-c role={role}")  # noqa: E731
        exports.ctx = replace(exports.ctx, connect=connect)
        exports.full()
        with psycopg.connect(source) as writer:
            late = insert(writer, exports.project_id, now())
            time.sleep(0.05)
            first = exports.changes(now() - MARGIN, now())  # it does not see the transaction, so it does not wait
            assert late not in exports.ids(first)
            assert first.plan["window"]["guard"] == "overlap"
            assert "lacks pg_read_all_stats on the primary and sees no transactions" in caplog.text
            writer.commit()
        second = exports.changes(now() - timedelta(milliseconds=1), now())
        assert first.window_end is not None
        assert (second.predecessor_id, second.window_start) == (first.id, first.window_end - OVERLAP - MARGIN)
        assert late in exports.ids(second)
        conn.execute(f"GRANT pg_read_all_stats TO {role}")
        assert exports.changes(now() - MARGIN, now()).plan["window"]["guard"] == "transactions"
    finally:
        conn.execute(f"DROP OWNED BY {role}")
        conn.execute(f"REVOKE pg_read_all_stats FROM {role}")


def test_no_change_of_concurrent_writers_is_lost(exports: Exports, source: str) -> None:
    written: set[int] = set()
    over = threading.Event()

    def write(seed: int) -> None:
        some = random.Random(seed)
        with psycopg.connect(source) as writer:
            while not over.is_set():
                stamp = now()  # before the transaction, as a model does
                time.sleep(some.uniform(0, 0.02))
                row = insert(writer, exports.project_id, stamp)
                time.sleep(some.uniform(0, 0.3))
                writer.commit()
                written.add(row)

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    found = set(exports.ids(exports.full()))
    windows_of = []
    for _ in range(4):
        windows_of.append(exports.changes(now() - MARGIN, now()))
        found.update(exports.ids(windows_of[-1]))
    over.set()
    for thread in threads:
        thread.join()
    last = exports.changes(now() - MARGIN, now())
    assert all(one.window_start == before.window_end for before, one in pairwise([*windows_of, last]))
    assert written <= found | set(exports.ids(last))
    assert len(written) > 20
    assert len(exports.ids(last)) < len(written)  # it is not simply everything
