"""A relation in many parts: what is read again when a unit is killed."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event, Thread

import psycopg
import pytest

from project_export.sample.generate import generate
from project_export.steps import Context, Created, Holder
from tests.chaos import victims
from tests.chaos.conftest import Happened
from tests.chaos.ground import Ground
from tests.chaos.standing import Undisturbed
from tests.db.conftest import sample_database  # noqa: F401 - a fixture
from tests.runs import merge, path_of, started, worker

RUN = "dag/run"
PARTS = 20
IN_TWENTY_PARTS = {"units": 5, "part_rows": 1}


@pytest.mark.fault("F01", f"unit killed -9 at 90 % of a relation in {PARTS} parts")
def test_a_unit_killed_late_repeats_one_part_from_the_same_snapshot(
    sample_database: str,  # noqa: F811 - a fixture
    database: str,
    tmp_path: Path,
    some_facts: Path | None,
    happened: Happened,
) -> None:
    with psycopg.connect(sample_database) as conn:
        generate(conn, 1, 0.5)
    ground = Ground(
        sample_database, tmp_path / "store", Undisturbed(sample_database, tmp_path / "other", some_facts), database
    )
    with ground.surviving():
        ctx = ground.context(**IN_TWENTY_PARTS)
        created = started(ctx, "issues")
        with held(ctx, created):
            # one part is the project's record
            victim = ground.process(victims.work_and_die, created, RUN, PARTS, IN_TWENTY_PARTS)
            victim.join(120)
            assert victim.exitcode == -signal.SIGKILL
            states = [row.state for row in ctx.ledger.queries.rows(created.job_id) if row.relation == "issues"]
            assert (len(states), states.count("finished"), states.count("started")) == (PARTS, 18, 1)
            again = worker(ctx, created, attempt=2).run()
        assert again.parts == 2
        repeated = [row for row in ctx.ledger.queries.rows(created.job_id) if row.attempt > 1]
        assert [(row.relation, row.attempt, row.deaths) for row in repeated] == [("issues", 2, 1)]
        manifest = ground.undisturbed.assert_same(path_of(merge(ctx, created)), 1, ("issues",))
        assert manifest.snapshot.generation == 1
    happened(f"{len(repeated)} of {PARTS} parts read twice, all from the same snapshot, SAME")


@contextmanager
def held(ctx: Context, created: Created) -> Iterator[None]:
    """Hold the job's snapshot, as the triggerer does."""
    over = Event()

    def touch(holder: Holder) -> None:
        while not over.wait(0.1):
            holder.needed()

    with closing(Holder(ctx, created.job_id)) as holder:
        thread = Thread(target=touch, args=(holder,))
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
