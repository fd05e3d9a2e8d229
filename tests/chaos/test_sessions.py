"""What stands between an export and the rows: row policies, and poolers with other clients."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from psycopg.sql import SQL, Identifier
from typer.testing import CliRunner

from project_export.cli import app
from project_export.steps import Holder
from tests.bouncer import THEIRS, bouncing, fresh, neighbours
from tests.chaos.conftest import Happened
from tests.chaos.environment import Environment, archive_of
from tests.runs import merge, started, work

POLICY = "row policies of public.issues apply to this role [SQLSTATE 42501]: use a role with BYPASSRLS"


@pytest.mark.fault("F33", "row policy")
def test_a_row_policy_fails_the_export_and_never_hides_a_row(
    role: str, shell_environment: Environment, happened: Happened
) -> None:
    owner = shell_environment.source
    with shell_environment.surviving():
        granted = CliRunner().invoke(app, ["tree", "grants", "--source", owner, "--role", role])
        with psycopg.connect(owner) as conn:
            for statement in granted.stdout.splitlines():
                conn.execute(statement.encode())
            conn.execute("ALTER TABLE issues ENABLE ROW LEVEL SECURITY")
            conn.execute("CREATE POLICY odd ON issues USING (id % 2 = 1)")
        shell_environment.source = f"{owner}?options=-c%20role%3D{role}"
        done = shell_environment.shell("--jobs", "2")
        assert (done.returncode, POLICY in done.stderr) == (1, True)
        assert len(shell_environment.archives()) == 1
        with psycopg.connect(owner) as conn:
            conn.execute(SQL("ALTER ROLE {} BYPASSRLS").format(Identifier(role)))
        archive_of(shell_environment.shell("--jobs", "2"))
        shell_environment.source = owner
    happened("refused before a row was read, with table and remedy; with BYPASSRLS SAME")


@pytest.mark.fault("F37", "poolers before source and ledger, next to clients that leave settings")
def test_an_export_through_poolers_is_the_same_and_nothing_leaks(
    role: str, environment: Environment, tmp_path: Path, happened: Happened
) -> None:
    known = [fresh(environment.source), {**THEIRS, "role": role}]
    with (
        environment.surviving(),
        bouncing(environment.source, tmp_path / "to-source") as source,
        bouncing(environment.ledger_uri, tmp_path / "to-ledger") as ledger,
    ):
        environment.place = (source, ledger, environment.store)
        ctx = environment.context()
        with neighbours(source, role, known) as looked, neighbours(ledger, role, known):
            created = started(ctx)
            holder = Holder(ctx, created.job_id)
            assert work(ctx, created) == []
            merge(ctx, created)
            holder.close()
        ctx.ledger.close()
        assert environment.offered(1).id == created.job_id
    happened(f"SAME; others looked at their settings {looked[0]} times and saw none of ours")
