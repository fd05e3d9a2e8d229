"""Records and jobs of a size that a careless exporter chokes on, and processes that get too little memory."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psycopg
import pytest

from project_export.archive.manifest import Manifest
from project_export.archive.verify import verify
from project_export.errors import Failure, RelationsFailed
from project_export.formats.gitlab import LIMITS as GITLAB
from project_export.steps import Context, Created, watch
from tests.chaos import victims
from tests.chaos.conftest import Happened
from tests.chaos.environment import Environment
from tests.chaos.invariants import OURS, sessions
from tests.runs import attempts, held, merge, path_of, started, wait_until, work

RUN = "dag/run"
MB = 1_000_000
MANY, ENOUGH = 10_000, 500
CONNECTIONS = 8
"""Of two units, their signs of life and the holder, on either side."""
PLAIN_MB = 150
FAT_MB = 130
"""What a process may take for one record of 60 MB; it takes about 116, with what the tests import."""
DISCUSSIONS = {"of today": "6a9c1750b37d513a43987b574953fceb50b03ce7", "without a discussion": None}
"""Of notes: GitLab stores one with each today; of an older note it is computed."""


@pytest.mark.fault("F18", "notes of 45 and 60 MB")
@pytest.mark.parametrize("kind", DISCUSSIONS)
def test_a_huge_note_is_exported_whole_in_bounded_memory_and_said(
    environment: Environment, tmp_path: Path, happened: Happened, kind: str
) -> None:
    report = tmp_path / "report"
    with environment.surviving():
        fatten(environment.source, 45 * MB, 60 * MB, discussion=DISCUSSIONS[kind])
        environment.changed(tools=False)  # check_archive.py refuses such a line, as GitLab does
        ctx = environment.context(units=1)
        created = started(ctx)
        unit = environment.process(victims.measured, created, RUN, report, victims.work_unit)
        unit.join(120)
        assert unit.exitcode == 0
        archive = path_of(merge(ctx, created))
        remark = "issues: 1 record(s) over 52428800 bytes"
        assert remark in report.with_suffix(".log").read_text()
        manifest = Manifest.from_json(archive.with_name("project.manifest.json").read_bytes())
        assert [text[:8] for relation in manifest.relations for text in relation.remarks if remark[8:] in text]
        assert verify(archive, manifest).problems == ()
        note, line = verify(archive, manifest, limits=GITLAB).problems
        assert {(one.code, one.where.partition(":")[0]) for one in (note, line)} == {
            ("limit", "tree/project/issues.ndjson")
        }
        assert "45000000 characters; the maximum is 1000000" in note.message
        assert "bytes; at most 52428800 are read" in line.message
        megabytes = int(report.read_text())
    happened(f"{kind}: exported in {megabytes} MB, SAME; log and manifest say it, verify --gitlab-limits refuses it")
    assert megabytes < FAT_MB


@pytest.mark.fault("F22", f"job of {MANY} parts")
def test_many_parts_take_no_more_connections_and_memory_than_few(
    environment: Environment, tmp_path: Path, happened: Happened
) -> None:
    reports = [tmp_path / f"unit {unit}" for unit in range(2)]
    with environment.surviving():
        with psycopg.connect(environment.source) as conn:
            for query in (
                "INSERT INTO labels (type, title, color, project_id, created_at, updated_at)"
                " SELECT 'ProjectLabel', 'many ' || i, '#123456', 1, now(), now() FROM generate_series(1, %s) AS i",
                "INSERT INTO milestones (iid, title, project_id, created_at, updated_at)"
                " SELECT 100000 + i, 'many ' || i, 1, now(), now() FROM generate_series(1, %s) AS i",
                "INSERT INTO releases (tag, name, project_id, created_at, updated_at, released_at)"
                " SELECT 'many ' || i, 'many', 1, now(), now(), now() FROM generate_series(1, %s) AS i",
                "INSERT INTO protected_branches (name, project_id, created_at, updated_at)"
                " SELECT 'many ' || i, 1, now(), now() FROM generate_series(1, %s) AS i",
                "INSERT INTO protected_tags (name, project_id, created_at, updated_at)"
                " SELECT 'many ' || i, 1, now(), now() FROM generate_series(1, %s) AS i",
            ):
                conn.execute(query.encode(), [MANY // 5])
        ctx = environment.context(units=512, part_rows=1)
        created = started(ctx)
        rows = len(ctx.ledger.queries.rows(created.job_id))
        assert rows >= MANY
        most = 0
        with held(ctx, created):
            units = [
                environment.process(victims.measured, created, RUN, report, victims.work_until_told, unit)
                for unit, report in enumerate(reports)
            ]
            while (finished := ctx.ledger.queries.progress(created.job_id).finished) < ENOUGH:
                assert all(unit.is_alive() for unit in units)
                most = max(most, len(sessions(environment.source, OURS)), len(sessions(environment.ledger_uri, "true")))
                time.sleep(0.2)
            for unit in units:
                unit.terminate()
            for unit in units:
                unit.join(60)
            ctx.ledger.jobs.fail(created.job_id, [Failure("*", 0, "enough")])
        assert [unit.exitcode for unit in units] == [0, 0]
        assert {row.attempt for row in ctx.ledger.queries.rows(created.job_id) if row.state == "finished"} == {1}
        megabytes = max(int(report.read_text()) for report in reports)
        assert most <= CONNECTIONS
        assert megabytes < PLAIN_MB
    happened(
        f"of {rows}, 2 workers read {finished} in at most {megabytes} MB each, over {most} connections; then stopped"
    )


@pytest.mark.fault("F31", "unit that gets no more memory")
def test_a_relation_for_which_there_is_no_memory_fails_with_that_reason_and_a_clear_exports_it(
    environment: Environment, happened: Happened
) -> None:
    with environment.surviving():
        ctx, created = fat_export(environment)
        unit = environment.process(victims.short_of_memory, created, RUN, "issues", 6 * MB)
        unit.join(120)
        assert unit.exitcode == 1
        with pytest.raises(RelationsFailed) as raised:
            merge(ctx, created)
        (failure,) = raised.value.failures
        assert (failure.relation, failure.attempt, "memory" in failure.message) == ("issues", 3, True)
        assert started(ctx) == created  # the run is cleared
        assert work(ctx, created, attempt=2) == []
        merge(ctx, created)
        assert environment.offered(1).id == created.job_id
    happened(f"failed after {failure.attempt} attempts ({failure.message.rpartition(': ')[2]}); cleared: SAME")


@contextmanager
def group(megabytes: int) -> Iterator[Path]:
    """Give a control group whose processes get so much memory together, then let its kernel kill one."""
    for root, limit in (
        (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
        (Path("/sys/fs/cgroup"), "memory.max"),
    ):
        folder = root / f"project-export-{os.getpid()}"
        try:
            folder.mkdir()
        except OSError:
            continue
        try:
            if (folder / limit).exists():
                (folder / limit).write_text(str(megabytes * MB))
                yield folder
                return
        finally:
            assert wait_until(partial(_removed, folder))
    pytest.skip("no control group can be made here")


def _removed(folder: Path) -> bool:
    """Remove a control group, unless the kernel still ends one of its processes."""
    try:
        folder.rmdir()
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True


@pytest.mark.fault("F31", "unit killed by the kernel: out of memory")
def test_a_unit_that_the_kernel_kills_is_judged_so_and_its_retry_exports_the_rest(
    environment: Environment, happened: Happened
) -> None:
    with environment.surviving():
        ctx, created = fat_export(environment)
        with group(16) as folder:  # more than a worker starts with, less than issues with a note of 45 MB need
            unit = environment.process(victims.in_group, created, RUN, folder, victims.work_unit)
            unit.join(120)
        assert unit.exitcode == -signal.SIGKILL
        dead = [row.relation for row in ctx.ledger.queries.rows(created.job_id, "started")]
        watch(ctx, created.job_id, {0: "failed"})
        (row,) = (row for row in ctx.ledger.queries.rows(created.job_id) if row.deaths)
        assert (dead, row.state) == ([row.relation], "queued")
        assert "out of memory?" in str(row.error)
        assert work(ctx, created, attempt=2) == []
        merge(ctx, created)
        assert attempts(ctx, created)[row.relation] == 2
        assert environment.offered(1).id == created.job_id
    happened(f"killed while it read {row.relation}, the waiter said so, its retry read that again: SAME")


def fat_export(environment: Environment) -> tuple[Context, Created]:
    """Begin an export by one unit of a project with a note of 45 MB."""
    fatten(environment.source, 45 * MB)
    environment.changed()
    ctx = environment.context(units=1)
    return ctx, started(ctx)


def fatten(source: str, *sizes: int, discussion: str | None = None) -> None:
    """Give this number of issues of project 1 another note of such a size."""
    with psycopg.connect(source) as conn:
        for position, size in enumerate(sizes):
            conn.execute(
                "INSERT INTO notes (id, noteable_type, noteable_id, project_id, author_id, note, discussion_id,"
                " created_at, updated_at) SELECT 900000 + %s, 'Issue', id, 1, author_id, repeat('0123456789', %s), %s,"
                " now(), now() FROM issues WHERE project_id = 1 ORDER BY id OFFSET %s LIMIT 1",
                [position, size // 10, discussion, position],
            )
