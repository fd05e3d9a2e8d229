"""The ledger: which jobs there are, how far they are, what went wrong, and who was notified."""

from __future__ import annotations

from sqlalchemy import Engine

from project_export.ledger import migrate
from project_export.ledger.changes import Observe
from project_export.ledger.claims import Claims
from project_export.ledger.database import Database
from project_export.ledger.jobs import Jobs
from project_export.ledger.notices import Notices
from project_export.ledger.queries import Queries
from project_export.ledger.queue import Queue
from project_export.ledger.rates import Rates
from project_export.ledger.retention import Retention
from project_export.ledger.tokens import Tokens
from project_export.ledger.watch import Watch


class Ledger:
    """The ledger in one database, PostgreSQL or SQLite. engine: see `make_engine`. listen: whether LISTEN may be used.

    observe: learns of each change once it is committed; all changes are logged as well.

    It consists of parts, so that a function can ask for only the one it uses:

    - jobs: queues, opens and ends jobs
    - queue: admits queued jobs in turn
    - claims: changes the rows of a job; workers need no more than this and `queries`
    - queries: reads jobs and rows, and how far they are
    - watch: finds rows and jobs that do not move, and waits for changes
    - notices: sees that each outcome is reported once
    - retention: finds and deletes what has expired
    - tokens: the tokens of the API
    - rates: limits how often a user may ask for something

    Every method is one short transaction and safe from any thread. Each may raise LedgerBusy, a Retryable, when the
    database does not answer. Every change of a state is announced to `watch.listening`; claims and beats are not.
    """

    def __init__(self, engine: Engine, *, listen: bool = True, observe: Observe | None = None) -> None:
        database = Database(engine, observe)
        self._database = database
        self.jobs = Jobs(database)
        self.queue = Queue(database)
        self.claims = Claims(database)
        self.queries = Queries(database)
        self.watch = Watch(database, listen=listen)
        self.notices = Notices(database)
        self.retention = Retention(database)
        self.tokens = Tokens(database)
        self.rates = Rates(database)

    def close(self) -> None:
        """Close the connections that the engine keeps; it opens new ones when it is used again."""
        self._database.engine.dispose()

    def check(self) -> None:
        """Raise LedgerOutdated unless the tables have the version that this package needs."""
        migrate.check(self._database.engine)
