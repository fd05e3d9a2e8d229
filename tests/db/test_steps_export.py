"""Whole exports by the steps: what is published, what a failure costs, and what is exported again."""

from __future__ import annotations

import errno
import json
import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from project_export.archive.manifest import Manifest
from project_export.archive.oversize import too_large
from project_export.archive.verify import verify
from project_export.errors import Permanent, RelationsFailed, SourceBusy, SourceRefused, UnitFailed, UnitUnfinished
from project_export.formats import Limits
from project_export.merged import Merged
from project_export.settings import Consistency
from project_export.steps import Context, Created, Holder
from tests.archives import read_archive
from tests.runs import (
    NO_REPOSITORY,
    Make,
    assert_same,
    attempts,
    backends,
    files,
    locked,
    merge,
    path_of,
    started,
    wait_until,
    work,
    worker,
)


def grant(source: str, role: str, without: tuple[str, ...] = ()) -> Callable[[], Any]:
    """Give a role the right to read all tables but some, and return how to connect as this role."""
    with psycopg.connect(source) as conn:
        conn.execute(SQL("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}").format(Identifier(role)))
        for table in without:
            conn.execute(SQL("REVOKE SELECT ON {} FROM {}").format(Identifier(table), Identifier(role)))
    return lambda: psycopg.connect(source, options=f"-c role={role}")


def states(ctx: Context, created: Created) -> dict[str, str]:
    return {row.relation: row.state for row in ctx.ledger.queries.rows(created.job_id)}


def part_of(ctx: Context, created: Created, relation: str) -> Path:
    (row,) = (row for row in ctx.ledger.queries.rows(created.job_id) if row.relation == relation)
    return Path(str(row.uri).removeprefix("file://"))


def assert_whole(merged: Merged, source: str) -> Manifest:
    """Check an archive of project 1 against the database and its manifest, which is returned."""
    path = path_of(merged)
    manifest = Manifest.from_json(path.with_name("project.manifest.json").read_bytes())
    report = verify(path, manifest)
    assert report.problems == ()
    assert sum(report.records.values()) == merged.records
    assert path.stat().st_size == merged.bytes
    assert_same(path, source)
    return manifest


@pytest.mark.parametrize(("units", "consistency"), [(1, "project"), (1, "relation"), (3, "project"), (3, "relation")])
def test_an_export_is_what_is_in_the_database(
    make: Make, generated: str, tmp_path: Path, units: int, consistency: str
) -> None:
    ctx = make(units=units, part_rows=7)
    created = started(ctx, consistency=consistency)
    assert len(created.titles) == units
    holder = Holder(ctx, created.job_id) if created.shared else None
    assert work(ctx, created) == []
    if holder is not None:
        assert not holder.needed()
        holder.close()
    merged = merge(ctx, created)
    manifest = assert_whole(merged, generated)
    job = ctx.ledger.queries.job(created.job_id)
    assert (job.state, job.archive_uri, job.archive_sha256) == ("finished", merged.uri, merged.sha256)
    assert (manifest.consistency, manifest.snapshot.id is None) == (consistency, consistency == "relation")
    assert {part.attempt for relation in manifest.relations for part in relation.parts} == {1}
    (issues,) = (relation for relation in manifest.relations if relation.relation == "issues")
    assert len(issues.parts) == (3 if consistency == "project" else 1)
    (project,) = (relation for relation in manifest.relations if relation.relation == "project")
    assert project.omissions == (NO_REPOSITORY,)
    assert not [name for name in files(tmp_path) if name.endswith(".tmp") or ".probe" in name]
    assert backends(generated) == []


def test_an_archive_larger_than_gitlab_takes_is_published_and_log_and_manifest_say_so(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    small = Limits(1, 1, 1)
    monkeypatch.setattr("project_export.steps.merge.too_large", lambda stored, raw, _: too_large(stored, raw, small))
    ctx = make(units=1)
    created = started(ctx, "labels")
    work(ctx, created)
    path = path_of(merge(ctx, created))
    with tarfile.open(path) as archive:
        unpacked = sum(member.size for member in archive)
    remarks = Manifest.from_json(path.with_name("project.manifest.json").read_bytes()).remarks
    assert remarks == too_large(path.stat().st_size, unpacked, small)
    assert len(remarks) == 2
    assert all(remark in caplog.text for remark in remarks)


def test_the_description_is_replaced_in_the_project_alone(make: Make) -> None:
    ctx = make(units=1)
    created = started(ctx, "labels", description='new "one" \N{SNOWMAN}')
    work(ctx, created)
    found = read_archive(path_of(merge(ctx, created)))
    assert found["project"][0]["description"] == 'new "one" \N{SNOWMAN}'
    assert "new" not in json.dumps(found["labels"])


def test_a_selection_holds_the_project_and_what_was_asked_for(make: Make, generated: str) -> None:
    ctx = make()
    created = started(ctx, "labels", "boards", consistency="relation")
    assert work(ctx, created) == []
    assert_same(path_of(merge(ctx, created)), generated, 1, "labels", "boards")


def test_a_missing_right_fails_its_relation_alone_and_a_cleared_run_does_only_that(
    role: str, generated_copy: str, make: Make
) -> None:
    ctx = replace(
        make(generated_copy, units=1), connect=grant(generated_copy, role, without=("ci_pipeline_schedules",))
    )
    created = started(ctx, consistency="relation")
    (error,) = work(ctx, created)
    assert isinstance(error, UnitFailed)
    assert "permission denied for table ci_pipeline_schedules [SQLSTATE 42501]" in str(error)
    failed = {name for name, state in states(ctx, created).items() if state != "finished"}
    assert failed == {"pipeline_schedules"}

    with pytest.raises(RelationsFailed) as caught:
        merge(ctx, created, last_try=False)
    (failure,) = caught.value.failures
    assert (failure.relation, failure.sqlstate, failure.attempt) == ("pipeline_schedules", "42501", 1)
    job = ctx.ledger.queries.job(created.job_id)
    assert (job.state, job.archive_uri, job.errors) == ("failed", None, (failure,))
    assert not list(Path(ctx.store.uri.removeprefix("file://")).rglob("*.tar.gz"))

    grant(generated_copy, role)
    assert started(ctx, consistency="relation") == created
    assert work(ctx, created, attempt=2) == []
    assert_whole(merge(ctx, created, attempt=2), generated_copy)
    again = attempts(ctx, created)
    assert again.pop("pipeline_schedules") == 2
    assert set(again.values()) == {1}


def test_a_clear_of_the_merge_alone_exports_what_failed(role: str, generated_copy: str, make: Make) -> None:
    ctx = replace(make(generated_copy, units=1), connect=grant(generated_copy, role, without=("labels",)))
    created = started(ctx, "labels", "boards", consistency="relation")
    work(ctx, created)
    with pytest.raises(RelationsFailed):
        merge(ctx, created)
    grant(generated_copy, role)
    assert_same(path_of(merge(ctx, created, attempt=2)), generated_copy, 1, "labels", "boards")


def test_an_unreadable_row_fails_its_relation_and_is_named(generated_copy: str, make: Make) -> None:
    with psycopg.connect(generated_copy) as conn:
        conn.execute("UPDATE merge_requests SET merge_params = '[' WHERE id = (SELECT min(id) FROM merge_requests)")
    ctx = make(generated_copy, units=1)
    created = started(ctx, "labels", "merge_requests")
    work(ctx, created)
    with pytest.raises(RelationsFailed, match=r"merge_requests.*merge_requests\.merge_params of the row with id \d+"):
        merge(ctx, created)
    assert states(ctx, created)["labels"] == "finished"


def test_a_lock_costs_its_relation_a_try_and_no_other_anything(generated_copy: str, make: Make) -> None:
    ctx = make(generated_copy, units=2, lock_timeout_seconds=0.1)
    created = started(ctx, "labels", "boards", "milestones", consistency="relation")
    with locked(generated_copy, "boards"), pytest.raises(UnitUnfinished, match=r"boards: .* lock timeout"):
        worker(ctx, created).run()
    row = next(row for row in ctx.ledger.queries.rows(created.job_id) if row.relation == "boards")
    assert (row.state, row.sqlstate, row.attempt) == ("queued", "55P03", 1)
    assert {state for name, state in states(ctx, created).items() if name != "boards"} == {"finished"}


def test_a_lock_on_the_roots_table_is_no_permanent_failure(generated_copy: str, make: Make) -> None:
    ctx = make(generated_copy, units=2, lock_timeout_seconds=0.1)
    created = started(ctx, "labels", "boards", consistency="relation")
    with locked(generated_copy, "projects"), pytest.raises(UnitUnfinished):
        worker(ctx, created).run()
    assert set(states(ctx, created).values()) == {"queued"}


def test_a_unit_that_is_alone_waits_for_the_next_try(generated_copy: str, make: Make) -> None:
    ctx = make(generated_copy, units=1, lock_timeout_seconds=0.1)
    created = started(ctx, "labels")
    with ThreadPoolExecutor(1) as pool:
        with locked(generated_copy, "labels"):
            working = pool.submit(work, ctx, created)
            wait_until(lambda: "55P03" in {row.sqlstate for row in ctx.ledger.queries.rows(created.job_id)})
        assert working.result() == []
    assert attempts(ctx, created)["labels"] >= 2
    assert ctx.ledger.queries.job(created.job_id).snapshot_generation == 1


def test_after_the_last_try_a_relation_has_failed(generated_copy: str, make: Make) -> None:
    ctx = make(generated_copy, units=1, lock_timeout_seconds=0.1, max_attempts=1)
    created = started(ctx, "labels", consistency="relation")
    with locked(generated_copy, "labels"):
        work(ctx, created)
    assert states(ctx, created) == {"project": "finished", "labels": "failed"}
    with pytest.raises(RelationsFailed, match=r"labels \[55P03\]"):
        merge(ctx, created)


@pytest.mark.parametrize("damage", ["flip", "cut", "delete"])
def test_a_damaged_part_is_exported_again(make: Make, generated: str, damage: str) -> None:
    ctx = make(units=1)
    created = started(ctx, "issues", "labels", consistency="relation")
    work(ctx, created)
    part = part_of(ctx, created, "issues")
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "delete":
        part.unlink()
    else:
        part.write_bytes(content if damage == "flip" else content[:-9])
    assert_same(path_of(merge(ctx, created)), generated, 1, "issues", "labels")
    assert attempts(ctx, created) == {"project": 1, "issues": 2, "labels": 1}


def test_a_damaged_part_is_read_from_the_snapshot_that_is_still_held(make: Make) -> None:
    ctx = make()
    created = started(ctx, "issues", "labels")
    holder = Holder(ctx, created.job_id)
    work(ctx, created)
    part_of(ctx, created, "issues").unlink()
    merge(ctx, created)
    holder.close()
    assert attempts(ctx, created) == {"project": 1, "issues": 2, "labels": 1}
    assert ctx.ledger.queries.job(created.job_id).snapshot_generation == 1


def test_a_damaged_part_whose_snapshot_is_gone_costs_all_relations(make: Make, generated: str) -> None:
    ctx = make(units=1)
    created = started(ctx, "labels", "boards")
    work(ctx, created)
    part_of(ctx, created, "labels").unlink()
    merged = merge(ctx, created)
    assert_same(path_of(merged), generated, 1, "labels", "boards")
    assert set(attempts(ctx, created).values()) == {2}
    rows = ctx.ledger.queries.rows(created.job_id)
    assert {row.generation for row in rows} == {2}


def test_a_second_merge_gives_the_same_bytes(make: Make) -> None:
    ctx = make(units=1)
    created = started(ctx, "issues", "labels", "boards")
    work(ctx, created)
    first = merge(ctx, created)
    content = path_of(first).read_bytes(), path_of(first).with_name("project.manifest.json").read_bytes()
    assert merge(ctx, created, attempt=2) == first
    assert (path_of(first).read_bytes(), path_of(first).with_name("project.manifest.json").read_bytes()) == content
    assert ctx.ledger.queries.job(created.job_id).state == "finished"


@pytest.mark.parametrize("consistency", ["project", "relation"])
def test_a_finished_run_that_is_cleared_is_exported_anew_and_gives_the_same_bytes(
    make: Make, tmp_path: Path, consistency: Consistency
) -> None:
    ctx = make(units=2, part_rows=20)
    created = started(ctx, "issues", "labels", "boards", consistency=consistency)

    def exported(attempt: int) -> Merged:
        with closing(Holder(ctx, created.job_id)) if created.shared else nullcontext():
            assert work(ctx, created, attempt) == []
        return merge(ctx, created, attempt)

    first = exported(1)
    content = path_of(first).read_bytes()
    before = attempts(ctx, created)
    assert started(ctx, "issues", "labels", "boards", consistency=consistency) == created
    again = exported(2)
    assert again == first
    assert path_of(again).read_bytes() == content
    assert attempts(ctx, created) == {name: count + 1 for name, count in before.items()}
    archives = [name for name in files(tmp_path) if name.endswith(".tar.gz")]
    assert len(archives) == 1


def test_parts_that_no_attempt_refers_to_are_removed(make: Make) -> None:
    ctx = make(units=1)
    created = started(ctx, "labels")
    work(ctx, created)
    parts = part_of(ctx, created, "labels").parent
    (parts / "labels.0.7.deflate").write_bytes(b"of a dead process")
    (parts / ".labels.0.8.deflate.job-1.pid-1.0.tmp").write_bytes(b"half")
    merge(ctx, created)
    assert sorted(path.name for path in parts.iterdir()) == ["labels.0.1.deflate", "project.0.1.deflate"]


def test_a_permanent_error_of_the_merge_ends_the_job(make: Make) -> None:
    ctx = make(units=1)
    created = started(ctx, "labels", consistency="relation")

    def refuse() -> Any:
        raise psycopg.errors.InvalidPassword("no")

    with pytest.raises(SourceRefused) as caught:
        merge(replace(ctx, connect=refuse), created, last_try=False)
    assert isinstance(caught.value, Permanent)
    job = ctx.ledger.queries.job(created.job_id)
    assert (job.state, job.errors[0].message) == ("failed", str(caught.value))


def test_an_error_that_a_retry_may_cure_ends_the_job_on_the_last_try_only(make: Make) -> None:
    ctx = make(units=1)
    created = started(ctx, "labels", consistency="relation")
    down = replace(ctx, connect=lambda: psycopg.connect("host=127.0.0.1 port=1 dbname=x"))
    for last_try, state in ((False, "started"), (True, "failed")):
        with pytest.raises(SourceBusy):
            merge(down, created, last_try=last_try)
        assert ctx.ledger.queries.job(created.job_id).state == state


def test_a_full_store_fails_with_its_path_and_a_retry_uses_finished_parts(
    make: Make, generated: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx = make(units=1)
    created = started(ctx, "issues", "labels", consistency="relation")
    work(ctx, created)
    replace = Path.replace

    def full(path: Path, target: Path) -> Path:
        if target.name == "project.tar.gz":
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(Exception, match=r"project\.tar\.gz: ENOSPC"):
        merge(ctx, created, last_try=False)
    assert not [name for name in files(tmp_path) if name.endswith(".tmp")]
    monkeypatch.undo()
    assert_same(path_of(merge(ctx, created, attempt=2)), generated, 1, "issues", "labels")
    assert set(attempts(ctx, created).values()) == {1}
