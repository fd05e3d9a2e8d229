"""Everything that can go wrong, as one tree, grouped by what a retry can do.

ProjectExportError
├── Permanent              no retry helps; somebody has to change something first
│   ├── BadRequest         a parameter is wrong: unknown relation, unknown key, project id not positive
│   ├── ProjectNotFound    the source has no such project
│   ├── JobActive          another job of this project is running; the message names it
│   ├── JobMissing         the ledger has no such job
│   ├── MoveRefused        a job is not in a state that allows this step
│   ├── NotReady           several things are missing for an export; lists each with what to do
│   ├── SettingMissing     a setting that has no default is not set
│   ├── SettingRefused     a setting has a value that it cannot have, or comes from where it may not come from
│   ├── LedgerOutdated     the ledger's tables are missing or of another version
│   ├── LedgerRefused      the way to the ledger's database is one that it cannot work by
│   ├── TreeError          a mistake in a tree file; names file, line and the nearest valid name
│   ├── SourceChanged      the source lacks a table or column that the tree cannot do without
│   ├── SourceRefused      the source refused a statement for good: privileges, bad values
│   │   └── SourceFiltered      the source may hide rows: row policies, views, tables that are not where they belong
│   ├── StoreUnusable      the artifact store cannot be used as it is set up: package or bucket missing, malformed URI
│   ├── ArchiveBroken      an archive does not hold what it has to hold
│   ├── DeliveryRefused    whoever was to get an archive or a notice does not take it
│   ├── UnitFailed         relations of one unit failed for good
│   └── RelationsFailed    relations of a job failed for good; lists each with its error
├── Retryable              the same thing may work later
│   ├── SourceBusy         lost connection, timeout, lock, shortage of resources
│   ├── LedgerBusy         the ledger's database did not answer: lost connection, timeout, deadlock
│   ├── OutOfMemory        a process got too little memory for what it reads
│   ├── SnapshotMissing    nobody holds the job's snapshot, or it is gone
│   ├── StoreRefused       the artifact store could not be written or read: disk full, no right, gone
│   │   └── ArtifactMissing    what should lie in the store is not there
│   ├── DeliveryFailed     whoever was to get an archive or a notice could not be reached, or is overloaded
│   ├── PartCorrupt        a finished part is not what was written; it has to be exported again
│   ├── UnitUnfinished     relations of one unit failed and can be tried again
│   └── Unforeseen         an exception of none of these classes
└── Stopped                somebody else decides
    └── AttemptRevoked     this attempt no longer owns its relation; it must not write anything
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from textwrap import indent


class ProjectExportError(Exception):
    """The root: each message says what happened, where, and what to do next.

    sqlstate: PostgreSQL's five characters where it refused something, else None.
    """

    sqlstate: str | None = None

    @property
    def code(self) -> str:
        """What scripts can tell it by: the SQLSTATE, the errno of its cause (ENOSPC), or the name of its class."""
        number = getattr(self.__cause__, "errno", None)
        return self.sqlstate or errno.errorcode.get(number or 0, "") or type(self).__name__


class Permanent(ProjectExportError):
    """No retry helps."""


class BadRequest(Permanent):
    """A parameter of the request is wrong."""


class ProjectNotFound(Permanent):
    """The source has no such project."""


class JobActive(Permanent):
    """Another job of this project is running."""


class JobMissing(Permanent):
    """The ledger has no such job."""


class MoveRefused(Permanent):
    """A job is not in a state that allows this step."""


class NotReady(Permanent):
    """Several things are missing for an export."""


class SettingMissing(Permanent):
    """A setting without a default is not set."""


class SettingRefused(Permanent):
    """A setting has a value that it cannot have, or comes from where it may not come from."""


class LedgerOutdated(Permanent):
    """The ledger's tables are missing or of another version than this package needs."""


class LedgerRefused(Permanent):
    """The way to the ledger's database is one that it cannot work by."""


class TreeError(Permanent):
    """A mistake in a tree file."""


class SourceChanged(Permanent):
    """The source lacks what the tree cannot do without."""


class SourceRefused(Permanent):
    """The source refused a statement and will refuse it again.

    sqlstate: PostgreSQL's five characters, None where there is none.
    """

    def __init__(self, message: str, sqlstate: str | None = None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class SourceFiltered(SourceRefused):
    """The source may hide rows of what is exported, and no setting says that it may."""


class StoreUnusable(Permanent):
    """The artifact store cannot be used as it is set up."""


class ArchiveBroken(Permanent):
    """An archive does not hold what it has to hold."""


class DeliveryRefused(Permanent):
    """Whoever was to get an archive or a notice does not take it."""


class UnitFailed(Permanent):
    """Relations of one unit failed for good; the unit did all others first."""


WHOLE = "*"
"""In place of a relation's name, where it is not one relation that failed."""


@dataclass(frozen=True)
class Failure:
    """One relation's last error, as the ledger keeps it; relation is `*` where the job as a whole has failed.

    code: see `ProjectExportError.code`; also `Killed` (its process died), `Silent` (it gave no sign of life), `Starved`
    (no slot of the pool), `Cancelled`. at: when, by the ledger's clock (ISO 8601), if it is known.
    """

    relation: str
    attempt: int
    message: str
    sqlstate: str | None = None
    at: str | None = field(default=None, compare=False)
    code: str | None = None

    @staticmethod
    def whole(error: ProjectExportError, what: str = "") -> Failure:
        """Return the failure of a job as a whole. what: goes before the error's message."""
        return Failure(WHOLE, 0, what + str(error), error.sqlstate, code=error.code)

    def __str__(self) -> str:
        state = f" [{self.sqlstate}]" if self.sqlstate else ""
        when = f" (at {self.at})" if self.at else ""
        what = "" if self.relation == WHOLE else f"{self.relation}{state} (attempt {self.attempt}): "
        return f"{what}{self.message}{when}"


class RelationsFailed(Permanent):
    """Relations of a job failed for good."""

    def __init__(self, failures: Sequence[Failure]) -> None:
        self.failures = tuple(failures)
        count = sum(failure.relation != WHOLE for failure in failures)
        super().__init__(listed(f"{count} relation(s) failed, so no archive was published", failures))


class Retryable(ProjectExportError):
    """The same thing may work later."""


class SourceBusy(Retryable):
    """The source could not answer now.

    sqlstate: PostgreSQL's five characters, None where there is none (a lost connection).
    """

    def __init__(self, message: str, sqlstate: str | None = None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class LedgerBusy(Retryable):
    """The ledger's database could not answer now."""


class OutOfMemory(Retryable):
    """A process got too little memory for what it reads."""


class SnapshotMissing(Retryable):
    """Nobody holds the snapshot that the job's relations share."""


class StoreRefused(Retryable):
    """The artifact store could not be written or read."""


class ArtifactMissing(StoreRefused):
    """What should lie in the store is not there."""


class DeliveryFailed(Retryable):
    """Whoever was to get an archive or a notice could not be reached, or is overloaded."""


class PartCorrupt(Retryable):
    """A finished part is not what was written."""

    def __init__(self, relation: str, part: int, message: str) -> None:
        super().__init__(message)
        self.relation = relation
        self.part = part


class UnitUnfinished(Retryable):
    """Relations of one unit failed in a way that a retry may cure; the unit did all others first."""


class Unforeseen(Retryable):
    """An exception that no step has a class for. It counts as any other failure does: an export must not hang on it."""


class Stopped(ProjectExportError):
    """Somebody else decides; stop without a trace."""


class AttemptRevoked(Stopped):
    """This attempt no longer owns its relation."""


def foreseen(error: Exception) -> ProjectExportError:
    """Return an error of this tree for any exception, which is its cause; one of the tree is returned as it is.

    >>> foreseen(KeyError("iid"))
    Unforeseen("KeyError: 'iid'. The log of this task has the traceback; retry, and report it if it stays.")
    """
    if isinstance(error, ProjectExportError):
        return error
    said = f"{type(error).__name__}: {error}".strip().rstrip(".:")
    unforeseen = Unforeseen(f"{said}. The log of this task has the traceback; retry, and report it if it stays.")
    unforeseen.__cause__ = error
    return unforeseen


def listed(headline: str, items: Iterable[object]) -> str:
    """Return a headline and the items below it, each line of them indented.

    >>> print(listed("2 names", ["a", "b"]))
    2 names:
      a
      b
    """
    return "\n".join([f"{headline}:", *(indent(str(item), "  ") for item in items)])


def nearest(name: str, valid: Iterable[str]) -> str:
    """Return a half-sentence with the valid names nearest to `name`, or all of them when none is near.

    >>> nearest("isues", ["issues", "labels"])
    'nearest: issues'
    >>> nearest("xyz", ["issues", "labels"])
    'valid: issues, labels'
    """
    known = sorted(valid)
    close = get_close_matches(name, known, n=3)
    return f"nearest: {', '.join(close)}" if close else f"valid: {', '.join(known)}"
