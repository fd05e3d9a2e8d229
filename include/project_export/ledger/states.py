"""The two state machines, as data, and the only place where a state is checked or changed.

    relation_export:     queued → started → finished | failed      requeue: started, failed, finished → queued
    project_export_job:  queued → started → finished | failed      reopen: failed, finished → started
                                                                   queue again: failed → queued, if never started

One conditional UPDATE makes a move: `Machine.move` adds both the condition and the new state to a statement, so no
statement can set a state without checking the state before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Update
from sqlalchemy.orm import InstrumentedAttribute

QUEUED, STARTED, FINISHED, FAILED = STATES = ("queued", "started", "finished", "failed")
PENDING = (QUEUED, STARTED)
ENDED = (FINISHED, FAILED)


@dataclass(frozen=True)
class Move:
    """One move of a machine, from any of `sources` to `target`. A move that only checks the state keeps it."""

    sources: tuple[str, ...]
    target: str


@dataclass(frozen=True)
class Machine:
    """The moves of one table's `state` column, by verb."""

    table: str
    moves: Mapping[str, Move]

    def ready(self, verb: str, state: ColumnElement[Any] | InstrumentedAttribute[str]) -> ColumnElement[bool]:
        """Return the SQL condition under which `verb` is allowed, over the column `state`."""
        return state.in_(self.moves[verb].sources)

    def move(self, statement: Update, verb: str) -> Update:
        """Return the UPDATE of this machine's table with the condition and the new state of `verb` added."""
        state = statement.table.c["state"]
        return statement.where(self.ready(verb, state)).values({state: self.moves[verb].target})

    def refusal(self, verb: str, state: str) -> str:
        """Return why `verb` is not allowed in `state`."""
        return f"it is {state}; {verb} is allowed when it is {' or '.join(self.moves[verb].sources)}"


RELATION_EXPORT = Machine(
    "relation_export",
    {
        "claim": Move((QUEUED,), STARTED),
        "beat": Move((STARTED,), STARTED),
        "finish": Move((STARTED,), FINISHED),
        "retry": Move((STARTED,), QUEUED),
        "give up": Move((STARTED,), FAILED),
        "fail": Move((QUEUED, STARTED), FAILED),
        "requeue": Move((STARTED, FAILED, FINISHED), QUEUED),
    },
)

PROJECT_EXPORT_JOB = Machine(
    "project_export_job",
    {
        "start": Move((QUEUED,), STARTED),
        "work": Move((STARTED,), STARTED),
        "publish": Move((STARTED,), STARTED),
        "finish": Move((STARTED,), FINISHED),
        "fail": Move((QUEUED, STARTED), FAILED),
        "refuse": Move((QUEUED,), FAILED),
        "reopen": Move(ENDED, STARTED),
        "queue again": Move((FAILED,), QUEUED),
    },
)
