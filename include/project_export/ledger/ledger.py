"""The ledger: the tables that say what is exported, how far it is, what went wrong, and who was told."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from sqlalchemy import Engine

from project_export.ledger import listen, migrate
from project_export.ledger.jobs import Jobs
from project_export.ledger.listen import Wait
from project_export.ledger.notices import Notices
from project_export.ledger.relations import Relations
from project_export.ledger.retention import Retention


class Ledger(Jobs, Relations, Notices, Retention):
    """The ledger in one database, PostgreSQL or SQLite. engine: see `make_engine`. listen: may LISTEN be used.

    Every method is one short transaction and safe from any thread. Each may raise LedgerBusy, a Retryable, when the
    database does not answer. Every change of a state is announced to `listening`; claims and beats are not.
    """

    def __init__(self, engine: Engine, *, listen: bool = True) -> None:
        super().__init__(engine)
        self._listen = listen

    def close(self) -> None:
        """Close the connections that the engine keeps; it opens new ones when it is used again."""
        self._engine.dispose()

    def check(self) -> None:
        """Raise LedgerOutdated unless the tables are of the version that this package needs."""
        migrate.check(self._engine)

    def listening(self, job_id: int) -> AbstractContextManager[Wait]:
        """Listen to a job: `with ledger.listening(job) as wait: ...read...; wait(seconds)`.

        Whatever changes after the read wakes the wait, which says whether it was woken. Where the database cannot
        notify, or is not to, wait sleeps for a second at most and says False.
        """
        return listen.listening(self._engine, str(job_id)) if self._listen else nullcontext(listen.sleep)

    def wait_for_change(self, job_id: int, timeout_seconds: float) -> None:
        """Wait until something about a job changes, or for so many seconds. Changes before the call are not seen."""
        with self.listening(job_id) as wait:
            wait(timeout_seconds)
