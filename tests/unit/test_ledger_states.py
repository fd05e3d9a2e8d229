from __future__ import annotations

import re
from pathlib import Path

import pytest
from sqlalchemy import update
from sqlalchemy.dialects import postgresql

from project_export.ledger.models import RelationExport
from project_export.ledger.states import PROJECT_EXPORT_JOB, RELATION_EXPORT, STATES, Machine


def edges(machine: Machine) -> set[tuple[str, str]]:
    return {
        (source, move.target) for move in machine.moves.values() for source in move.sources if source != move.target
    }


def test_a_relation_makes_the_moves_of_the_design() -> None:
    assert edges(RELATION_EXPORT) == {
        ("queued", "started"),
        ("started", "finished"),
        ("started", "failed"),
        ("queued", "failed"),
        ("started", "queued"),
        ("failed", "queued"),
        ("finished", "queued"),
    }


def test_a_job_makes_the_moves_of_the_design() -> None:
    assert edges(PROJECT_EXPORT_JOB) == {
        ("queued", "started"),
        ("started", "finished"),
        ("started", "failed"),
        ("queued", "failed"),
        ("failed", "queued"),
        ("failed", "started"),
        ("finished", "started"),
    }


def test_moves_use_known_states_only() -> None:
    for machine in (RELATION_EXPORT, PROJECT_EXPORT_JOB):
        for move in machine.moves.values():
            assert {*move.sources, move.target} <= set(STATES)


def test_a_move_checks_the_state_before_it_sets_the_next() -> None:
    statement = RELATION_EXPORT.move(update(RelationExport), "finish")
    sql = str(statement.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True}))
    assert sql == "UPDATE relation_export SET state='finished' WHERE relation_export.state IN ('started')"


def test_an_unknown_verb_is_refused() -> None:
    with pytest.raises(KeyError):
        RELATION_EXPORT.move(update(RelationExport), "delete")


def test_no_other_module_of_the_ledger_sets_a_state(repo: Path) -> None:
    for path in (repo / "include/project_export/ledger").glob("*.py"):
        # A new job is created in a state; that is the one place besides the machines that writes one.
        created = {"jobs.py": {"state=STARTED", "state=QUEUED"}}.get(path.name, set())
        assert set(re.findall(r"\bstate=[A-Z]+", path.read_text())) == created, path
