"""The contract of the ledger's queries, on PostgreSQL and on SQLite: pages of jobs, and a job's relations."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, bindparam, event, text, update

from project_export.errors import Failure, JobMissing
from project_export.ledger import Beat, Claim, Job, JobRequest, Ledger, Planned, Queries, Watch
from project_export.ledger.columns import clock
from project_export.ledger.models import ProjectExportJob, RelationExport
from project_export.ledger.queries import jobs_query
from tests.ledgers import ON_BOTH

pytestmark = ON_BOTH
REQUEST = JobRequest(source="main", tree="gitlab", project_id=42, run_id="dag/run", requested_by="jane")
STATES = ("queued", "started", "finished", "failed")
JOBS, PAGE = 10_000, 50


@dataclass(frozen=True)
class Facts:
    records: int = 3
    raw_bytes: int = 300
    stored_bytes: int = 30
    crc32: int = 1
    stored_crc32: int = 2
    sha256: str = "ab" * 32


def opened(ledger: Ledger, *planned: Planned, **request: Any) -> Job:
    return ledger.jobs.open(replace(REQUEST, **request), planned or (Planned("issues", 0),))


def claimed(ledger: Ledger, job: Job) -> Claim:
    claim = ledger.claims.claim(job.id, 0, "unit 0")
    assert claim is not None
    return claim


def ids(ledger: Ledger, **wanted: Any) -> list[int]:
    return [one.job.id for one in ledger.queries.jobs(**wanted)]


def test_jobs_come_newest_first_and_can_be_filtered_by_source_project_and_state(ledger: Ledger) -> None:
    first, other_source, other_project = opened(ledger), opened(ledger, source="b"), opened(ledger, project_id=43)
    ledger.jobs.fail(first.id, [])
    again = opened(ledger)
    assert ids(ledger) == [again.id, other_project.id, other_source.id, first.id]
    assert ids(ledger, source="main") == [again.id, other_project.id, first.id]
    assert ids(ledger, project_id=42) == [again.id, other_source.id, first.id]
    assert ids(ledger, state="failed") == [first.id]
    assert ids(ledger, source="main", project_id=42, state="started") == [again.id]
    assert ids(ledger, source="other") == []


def test_jobs_can_be_filtered_by_the_id_or_path_of_their_project(ledger: Ledger) -> None:
    first = opened(ledger, plan={"project": "Group/App"})
    other = opened(ledger, project_id=43, plan={"project": "group/app-2"})
    nameless = opened(ledger, project_id=44, plan={})
    waiting = ledger.jobs.queue(replace(REQUEST, project_id=45))
    for path in ("group/app", "Group/App", "GROUP/APP"):
        assert ids(ledger, project=path) == [first.id]
    assert [ids(ledger, project=str(job.project_id)) for job in (first, other, nameless, waiting)] == [
        [job.id] for job in (first, other, nameless, waiting)
    ]
    for nothing in ("", "group", "group/ap_", "group/app%", "app", "4", "042x", "9" * 30):
        assert ids(ledger, project=nothing) == []
    ledger.jobs.fail(first.id, [])
    assert ids(ledger, project="group/app", state="started") == []
    assert ids(ledger, project="group/app", state="failed", source="main", before=first.id + 1) == [first.id]


def test_pages_are_read_by_the_last_id_of_the_page_before(ledger: Ledger) -> None:
    made = [opened(ledger, project_id=number).id for number in range(1, 8)]
    first = ids(ledger, limit=3)
    ledger.jobs.fail(made[0], [])
    opened(ledger, project_id=99)  # a job that is created in between shifts no page
    second = ids(ledger, limit=3, before=first[-1])
    third = ids(ledger, limit=3, before=second[-1])
    assert (len(first), len(second), len(third)) == (3, 3, 1)
    assert [*first, *second, *third] == made[::-1]
    assert ids(ledger, limit=3, before=third[-1]) == []


def test_each_job_of_a_page_comes_with_its_progress(ledger: Ledger) -> None:
    planned = [Planned("issues", 0, estimate=30), Planned("notes", 1, estimate=70)]
    going, empty = opened(ledger, *planned), ledger.jobs.open(replace(REQUEST, project_id=43), [])
    ledger.claims.finish(claimed(ledger, going), Facts(), "file:///notes")
    page = ledger.queries.jobs()
    assert [one.job for one in page] == [ledger.queries.job(empty.id), ledger.queries.job(going.id)]
    for one in page:
        assert replace(one.progress, now=None) == replace(ledger.queries.progress(one.job.id), now=None)
        assert one.progress.now is not None
    assert page[0].progress.total == 0
    assert (page[1].progress.finished, page[1].progress.records, page[1].progress.share) == (1, 3, 0.7)


def test_the_latest_job_of_a_project_is_that_of_its_source_and_tree_in_any_state(ledger: Ledger) -> None:
    assert ledger.queries.latest_job("main", "gitlab", 42) is None
    first = opened(ledger)
    ledger.jobs.fail(first.id, [])
    latest = opened(ledger)
    ledger.jobs.fail(latest.id, [])
    for other in ({"source": "b"}, {"tree": "b"}, {"project_id": 43}):
        opened(ledger, **other)
    assert ledger.queries.latest_job("main", "gitlab", 42) == ledger.queries.job(latest.id)


def test_rows_can_be_read_by_state(ledger: Ledger) -> None:
    job = opened(ledger, Planned("a", 0), Planned("b", 1), Planned("c", 2))
    ledger.claims.finish(claimed(ledger, job), Facts(), "file:///a")
    claimed(ledger, job)
    by_state = {state: [row.relation for row in ledger.queries.rows(job.id, state)] for state in STATES}
    assert by_state == {"queued": ["c"], "started": ["b"], "finished": ["a"], "failed": []}


def test_the_relations_of_a_job_come_with_their_progress(ledger: Ledger, engine: Engine) -> None:
    issues = [Planned("issues", 1, part=part, parts=3, estimate=5) for part in range(3)]
    job = opened(ledger, Planned("labels", 0, estimate=9), *issues)
    ledger.claims.finish(claimed(ledger, job), Facts(), "file:///labels")
    ledger.claims.finish(claimed(ledger, job), Facts(), "file:///issues.0")
    silent, locked = claimed(ledger, job), claimed(ledger, job)
    ledger.claims.beat([Beat(silent.row_id, silent.attempt, 2, 20)])
    ledger.claims.fail_attempt(locked, "a lock", "55P03", final=False)
    with engine.begin() as connection:
        connection.execute(update(RelationExport).values(heartbeat_at=clock(-90)))
    labels, found = ledger.queries.relations(job.id)
    assert (labels.relation, labels.state, labels.parts, labels.attempt, labels.records) == (
        "labels",
        "finished",
        1,
        1,
        3,
    )
    assert (labels.estimate, labels.heartbeat_age, labels.errors) == (9, None, ())
    assert (found.relation, found.state, found.parts, found.attempt) == ("issues", "started", 3, 1)
    assert (found.queued, found.started, found.finished, found.failed) == (1, 1, 1, 0)
    assert (found.records, found.raw_bytes, found.estimate) == (5, 320, 15)
    assert found.heartbeat_age == pytest.approx(90, abs=30)
    assert found.errors == (Failure("issues", 1, "part 3 of 3: a lock", "55P03", None, "55P03"),)


def test_the_relations_of_a_missing_job_are_an_error(ledger: Ledger) -> None:
    assert ledger.queries.relations(ledger.jobs.open(REQUEST, []).id) == []
    with pytest.raises(JobMissing, match="no job 7"):
        ledger.queries.relations(7)


def test_queries_and_watch_only_read(ledger: Ledger, engine: Engine) -> None:
    job, statements = opened(ledger), []
    values = {
        "job_id": job.id,
        "job_ids": [job.id],
        "run_id": "dag/run",
        "run_ids": ["dag/run"],
        "source": "main",
        "tree": "gitlab",
        "project_id": 42,
        "seconds": 1,
        "row_id": 1,
    }

    def note(connection: object, cursor: object, statement: str, *more: object) -> None:
        if statement != "BEGIN":  # a write on SQLite is a BEGIN IMMEDIATE
            statements.append(statement.split()[0])

    for part in (ledger.queries, ledger.watch):
        for name, method in public(part):
            needed = {
                one.name: values[one.name]
                for one in inspect.signature(method).parameters.values()
                if one.default is one.empty
            }
            if name == "listening":
                continue  # its probe is a notification
            statements.clear()
            event.listen(engine, "before_cursor_execute", note)
            method(**needed)
            event.remove(engine, "before_cursor_execute", note)
            assert set(statements) <= {"SELECT", "WITH"}, name
            assert statements, name


def public(part: Queries | Watch) -> list[tuple[str, Callable[..., Any]]]:
    return [(name, one) for name, one in inspect.getmembers(part, inspect.ismethod) if not name.startswith("_")]


# 10,000 jobs


@pytest.fixture
def crowded(engine: Engine) -> Engine:
    """A ledger of 10,000 jobs with three rows each: 10 have failed, 5 are of another source, 20 of each project."""
    jobs = """
        WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :jobs)
        INSERT INTO project_export_job
            (source, tree, project_id, run_id, requested_by, params, plan, consistency, state)
        SELECT CASE WHEN i % 2000 = 0 THEN 'rare' ELSE 'main' END, 'gitlab', i % 500 + 1, 'run', 'jane', '{}', '{}',
            'project', CASE WHEN i % 1000 = 0 THEN 'failed' ELSE 'finished' END
        FROM n
    """
    rows = """
        INSERT INTO relation_export (job_id, relation, part, parts, unit, position, estimate, state, records)
        SELECT id, 'r' || position, 0, 1, 0, position, 1, 'finished', 7
        FROM project_export_job CROSS JOIN (SELECT 1 AS position UNION SELECT 2 UNION SELECT 3) three
    """
    plans = [{"number": number, "plan": {"project": f"Group/App-{number}"}} for number in range(1, 501)]
    named = update(ProjectExportJob).where(ProjectExportJob.project_id == bindparam("number"))
    with engine.begin() as connection:
        connection.execute(text(jobs), {"jobs": JOBS})
        connection.execute(named, plans)
        connection.execute(text(rows))
        if engine.dialect.name == "postgresql":
            connection.execute(text("ANALYZE project_export_job, relation_export"))
    return engine


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, PAGE),
        ({"before": 5_000}, PAGE),
        ({"source": "main"}, PAGE),
        ({"source": "rare"}, 5),
        ({"source": "rare", "before": 5_000}, 2),
        ({"project_id": 7}, 20),
        ({"project_id": 7, "state": "finished"}, 20),
        ({"project": "7"}, 20),
        ({"project": "group/app-7"}, 20),
        ({"project": "GROUP/APP-7", "before": 5_000}, 10),
        ({"project": "group/app-7", "state": "finished"}, 20),
        ({"source": "main", "project_id": 7, "state": "finished", "before": 5_000}, 10),
        ({"state": "finished", "before": 5_000}, PAGE),
        ({"state": "failed"}, 10),
        ({"source": "main", "state": "finished"}, PAGE),
    ],
    ids=str,
)
def test_a_page_of_ten_thousand_jobs_reads_only_what_it_returns(
    crowded: Engine, wanted: dict[str, Any], found: int
) -> None:
    page = Ledger(crowded).queries.jobs(**wanted, limit=PAGE)
    assert len(page) == found
    assert {(one.progress.finished, one.progress.records) for one in page} == {(3, 21)}
    filters = {"source": None, "project_id": None, "project": None, "state": None, "before": None, **wanted}
    query = jobs_query(**filters, limit=PAGE).compile(crowded, compile_kwargs={"literal_binds": True})
    with crowded.connect() as connection:
        assert _read(connection, str(query)) < 10 * PAGE


def _read(connection: Connection, query: str) -> float:
    """Return how many rows of tables and indexes a query reads, at most."""
    if connection.dialect.name == "postgresql":
        (plan,) = connection.execute(text(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {query}")).scalar_one()
        return sum(_scanned(node) for node in _nodes(plan["Plan"]))
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    driver: Any = connection.connection.driver_connection
    driver.set_progress_handler(step, 1)
    connection.exec_driver_sql(query).all()
    driver.set_progress_handler(None, 1)
    return steps / 50  # SQLite's machine takes more instructions for each row: a job alone has 25 columns


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", []):
        yield from _nodes(child)


def _scanned(node: dict[str, Any]) -> float:
    if "Relation Name" not in node and "Index Name" not in node:
        return 0
    return node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0))


def test_the_omissions_of_several_jobs_are_those_of_each_without_duplicates(ledger: Ledger, engine: Engine) -> None:
    planned = (Planned("issues", 0, part=0, parts=2), Planned("issues", 0, part=1, parts=2), Planned("labels", 1))
    first, second, third = (opened(ledger, *planned, project_id=number) for number in (1, 2, 3))
    for job, omitted in ((first, ["b", "a"]), (second, ["c"])):
        with engine.begin() as connection:
            own = update(RelationExport).where(RelationExport.job_id == job.id, RelationExport.relation == "issues")
            connection.execute(own.values(omissions=omitted))
    ids = [first.id, second.id, third.id]
    assert ledger.queries.omissions_of(ids) == {first.id: ("b", "a"), second.id: ("c",)}
    for job in (first, second, third):
        assert ledger.queries.omissions_of(ids).get(job.id, ()) == ledger.queries.omissions(job.id)
    assert ledger.queries.omissions_of([]) == {}


def test_the_jobs_of_several_runs_are_the_newest_of_each(ledger: Ledger) -> None:
    first = opened(ledger, run_id="dag/1", project_id=1)
    ledger.jobs.fail(first.id, [], cancelled=True)
    again, other = opened(ledger, run_id="dag/1", project_id=1), opened(ledger, run_id="dag/2", project_id=2)
    found = ledger.queries.jobs_of_runs(["dag/1", "dag/2", "dag/3"])
    assert {name: job.id for name, job in found.items()} == {"dag/1": again.id, "dag/2": other.id}
    assert ledger.queries.jobs_of_runs([]) == {}
