"""A relation in many parts: what is read again when a unit is killed."""

from __future__ import annotations

import signal
from pathlib import Path

import psycopg
import pytest

from project_export.sample.generate import generate
from tests.chaos import victims
from tests.chaos.conftest import Happened
from tests.chaos.environment import Environment
from tests.chaos.invariants import Undisturbed
from tests.runs import held, merge, path_of, started, worker

RUN = "dag/run"
PARTS = 20
IN_TWENTY_PARTS = {"units": 5, "part_rows": 1}


@pytest.mark.fault("F01", f"unit killed -9 at 90 % of a relation in {PARTS} parts")
def test_a_unit_killed_late_repeats_one_part_from_the_same_snapshot(
    sample_database: str,
    ledger_dsn: str,
    tmp_path: Path,
    facts: Path,
    happened: Happened,
) -> None:
    with psycopg.connect(sample_database) as conn:
        generate(conn, 1, 0.5)
    environment = Environment(
        sample_database, tmp_path / "store", Undisturbed(sample_database, tmp_path / "other", facts), ledger_dsn
    )
    with environment.surviving():
        ctx = environment.context(**IN_TWENTY_PARTS)
        created = started(ctx, "issues")
        with held(ctx, created):
            # one part is the project's record
            victim = environment.process(victims.work_and_die, created, RUN, PARTS, IN_TWENTY_PARTS)
            victim.join(120)
            assert victim.exitcode == -signal.SIGKILL
            states = [row.state for row in ctx.ledger.queries.rows(created.job_id) if row.relation == "issues"]
            assert (len(states), states.count("finished"), states.count("started")) == (PARTS, 18, 1)
            again = worker(ctx, created, attempt=2).run()
        assert again.parts == 2
        repeated = [row for row in ctx.ledger.queries.rows(created.job_id) if row.attempt > 1]
        assert [(row.relation, row.attempt, row.deaths) for row in repeated] == [("issues", 2, 1)]
        manifest = environment.undisturbed.assert_same(path_of(merge(ctx, created)), 1, ("issues",))
        assert manifest.snapshot.generation == 1
    happened(f"{len(repeated)} of {PARTS} parts read twice, all from the same snapshot, SAME")
