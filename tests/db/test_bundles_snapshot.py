"""Bundles need no snapshot, unless they are split: they are kept when others are read again, and are read alone."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from project_export.errors import RelationsFailed
from project_export.steps import Context, Created, Holder, Owner, Worker
from tests.attic import Attic, Exported
from tests.repositories import cloned, filled, refs
from tests.runs import RUN, backends, held, merge, started, work, worker

SHARED = {"units": 2, "unit_cost": 1}


@pytest.fixture
def attic(database: str, ledger_dsn: str, tmp_path: Path) -> Attic:
    """An attic with a diary, whose repository is not there yet."""
    attic = Attic(database, ledger_dsn, tmp_path).make()
    attic.sql("UPDATE attics SET diary = 'diary'")
    attic.add("a thing", b"1")
    return attic


def attempts(ctx: Context, created: Created) -> dict[str, int]:
    return {row.relation: row.attempt for row in ctx.ledger.queries.rows(created.job_id)}


def lender(ctx: Context, created: Created, unit: int = 0) -> Worker:
    """Return a worker of a run that was cleared after its holder had ended."""
    return Worker(ctx, created.job_id, Owner(RUN, unit, 2), alone=False, lends=True)


def test_only_bundles_that_are_not_split_need_no_snapshot(attic: Attic) -> None:
    attic.sql("INSERT INTO letters (attic_id, name) SELECT 1, n::text FROM generate_series(1, 3) AS n")
    ctx = attic.context(**SHARED)
    whole = ctx.ledger.queries.rows(started(ctx, run_id="dag/whole").job_id)
    assert {row.relation for row in whole if not row.snapshot} == {"diary", "letters"}
    attic.sql("UPDATE attics SET id = 2; UPDATE letters SET attic_id = 2")
    ctx = attic.context(part_rows=1, **SHARED)
    rows = ctx.ledger.queries.rows(started(ctx, project_id=2).job_id)
    assert {(row.relation, row.parts, row.snapshot) for row in rows} == {
        ("attic", 1, True),
        ("notes", 1, True),
        ("things", 1, True),
        ("diary", 1, False),
        ("letters", 3, True),
    }


def test_a_new_snapshot_keeps_a_finished_bundle(attic: Attic, tmp_path: Path) -> None:
    path = filled(attic.shelves, "diary.git")
    ctx = attic.context(**SHARED)
    created = started(ctx)
    with held(ctx, created):
        assert work(ctx, created) == []
    with closing(Holder(ctx, created.job_id)) as holder:
        assert holder.generation == 2
        states = {row.relation: row.state for row in ctx.ledger.queries.rows(created.job_id)}
        assert states == {"attic": "queued", "notes": "queued", "things": "queued"} | {
            "diary": "finished",
            "letters": "finished",
        }
        assert work(ctx, created, attempt=2) == []
    assert attempts(ctx, created) == {"attic": 2, "notes": 2, "things": 2, "letters": 1, "diary": 1}
    exported = Exported(ctx, created.job_id, merge(ctx, created, attempt=2))
    assert cloned(exported.contents()["diary.bundle"], tmp_path) == refs(path)
    generations = {one.relation: one.parts[0].generation for one in exported.manifest.relations}
    assert generations == {"attic": 2, "notes": 2, "things": 2, "letters": 1, "diary": 1}


def test_a_bundle_that_alone_has_failed_is_exported_later_without_reading_anything_else_again(
    attic: Attic, tmp_path: Path
) -> None:
    ctx = attic.context(**SHARED)
    created = started(ctx)
    with held(ctx, created):
        work(ctx, created)
        with pytest.raises(RelationsFailed, match="the source has no such repository"):
            merge(ctx, created)
    path = filled(attic.shelves, "diary.git")
    assert lender(ctx, created).run().relations == ("diary",)
    assert ctx.ledger.queries.job(created.job_id).snapshot_generation == 1
    assert attempts(ctx, created) == {"attic": 1, "notes": 1, "things": 1, "letters": 1, "diary": 2}
    exported = Exported(ctx, created.job_id, merge(ctx, created, attempt=2))
    assert cloned(exported.contents()["diary.bundle"], tmp_path) == refs(path)
    assert backends(attic.database) == []


def test_nobody_waits_for_a_snapshot_or_holds_one_for_a_bundle(attic: Attic) -> None:
    filled(attic.shelves, "diary.git")
    ctx = attic.context(**SHARED)
    created = started(ctx)
    with closing(Holder(ctx, created.job_id)) as holder:
        rows = {row.relation: row for row in ctx.ledger.queries.rows(created.job_id)}
        ctx.ledger.claims.fail_rows([rows["diary"].id], "comes last")
        assert work(ctx, created) == []
        ctx.ledger.claims.requeue([rows["diary"].id], "comes last")
        ctx.ledger.jobs.reopen(created.job_id)
        assert ctx.ledger.queries.progress(created.job_id).pending == 1
        assert not holder.needed()
    assert Holder.of(ctx, created.job_id) is None
    assert worker(ctx, created, attempt=2).run().relations == ("diary",)
    assert ctx.ledger.queries.job(created.job_id).snapshot_generation == 1


def test_a_row_that_needs_a_snapshot_is_not_read_in_the_transaction_of_a_bundle(
    attic: Attic, caplog: pytest.LogCaptureFixture
) -> None:
    """The only queued row is a bundle when the worker starts; then a row of records comes back."""
    filled(attic.shelves, "diary.git")
    ctx = attic.context(**SHARED)
    created = started(ctx)
    with held(ctx, created):
        assert work(ctx, created) == []
    rows = {row.relation: row for row in ctx.ledger.queries.rows(created.job_id)}
    ctx.ledger.claims.requeue([rows["diary"].id], "again")
    only = lender(ctx, created)
    finish = ctx.ledger.claims.finish

    def finished(claim, *rest):
        finish(claim, *rest)
        if claim.relation == "diary":
            ctx.ledger.claims.requeue([rows["notes"].id], "again")

    ctx.ledger.claims.finish = finished
    assert only.run().relations == ("diary", "attic", "things", "notes")
    assert ctx.ledger.queries.job(created.job_id).snapshot_generation == 2
    assert attempts(ctx, created) == {"attic": 2, "notes": 3, "things": 2, "letters": 1, "diary": 2}
    assert "notes must be read from snapshot generation 1, not from generation 0" in caplog.text
