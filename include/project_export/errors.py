"""Everything that can go wrong, as one tree, grouped by what a retry can do.

ProjectExportError
├── Permanent              no retry helps; something has to be changed first
│   ├── BadRequest         a parameter is wrong: unknown relation, unknown key, project id not positive
│   ├── NotAllowed         the rules of this installation do not allow this user to export the project
│   ├── ProjectNotFound    the source has no such project
│   ├── JobActive          another job of this project is running; the message names it
│   ├── JobMissing         the ledger has no such job
│   ├── MoveRefused        a job is not in a state that allows this step
│   ├── NotAvailable       a file of a job cannot be fetched: not made yet, missing, or not what was written
│   │   └── Expired             the archive of a job was removed because it was old enough
│   ├── NotReady           several things are missing for an export; lists each with what to do
│   ├── SettingMissing     a setting that has no default is not set
│   ├── SettingRefused     a setting has an invalid value, or comes from a place that is not allowed
│   ├── LedgerOutdated     the ledger's tables are missing or of another version
│   ├── LedgerRefused      the ledger cannot use this connection to its database
│   ├── TreeError          a mistake in a tree file; names file, line and the nearest valid name
│   ├── SourceChanged      the source lacks a table or column that the tree requires
│   ├── SourceRefused      the source refused a statement for good: privileges, bad values
│   │   └── SourceFiltered      the source may hide rows: row policies, views, tables in another schema
│   ├── FilesMissing       files of the source are missing or altered; names each of them
│   ├── StoreUnusable      the artifact store is set up wrongly: package or bucket missing, malformed URI
│   ├── GitUnusable        git is missing, too old to be kept from running commands, or its user does not exist
│   ├── RepositoryRefused  a git repository is unsafe, not whole, or not where it may be read
│   ├── ArchiveBroken      the content of an archive is wrong
│   ├── DeliveryRefused    the recipient of an archive or a notice refuses it
│   ├── UnitFailed         relations of one worker failed for good
│   └── RelationsFailed    relations of a job failed for good; lists each with its error
├── Retryable              the same thing may work later
│   ├── AwaitsTurn         the turn of a job has not come yet; says when to ask again
│   ├── SourceBusy         lost connection, timeout, lock, shortage of resources
│   ├── LedgerBusy         the ledger's database did not answer: lost connection, timeout, deadlock
│   ├── OutOfMemory        a process ran out of memory
│   ├── WindowOpen         a transaction is open whose changes may belong to the window
│   ├── SnapshotMissing    the job's snapshot is not held, or it is lost
│   ├── StoreRefused       the artifact store could not be written or read: disk full, no permission
│   │   └── ArtifactMissing    a file that the store should have does not exist
│   ├── TemporaryRefused   a temporary file could not be written or read: disk full, no permission
│   ├── GitFailed          git was killed, took too long, or could not fetch; or its repository changed meanwhile
│   ├── DeliveryFailed     the recipient of an archive or a notice cannot be reached, or is overloaded
│   ├── PartCorrupt        a finished part is not what was written; it has to be exported again
│   ├── UnitUnfinished     relations of one worker failed and can be tried again
│   └── Unforeseen         an exception of none of these classes
└── Stopped                another process has taken over
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
        """A code for scripts: the SQLSTATE, the errno of its cause (ENOSPC), or the name of its class."""
        number = getattr(self.__cause__, "errno", None)
        return self.sqlstate or errno.errorcode.get(number or 0, "") or type(self).__name__


class Permanent(ProjectExportError):
    """No retry helps."""


class BadRequest(Permanent):
    """A parameter of the request is wrong."""


class NotAllowed(Permanent):
    """The rules of this installation do not allow this user to export the project."""


class ProjectNotFound(Permanent):
    """The source has no such project."""


class JobActive(Permanent):
    """Another job of this project is running."""


class JobMissing(Permanent):
    """The ledger has no such job."""


class MoveRefused(Permanent):
    """A job is not in a state that allows this step."""


class NotAvailable(Permanent):
    """A file of a job cannot be fetched. Its message names no place in the store, so anybody may read it."""


class Expired(NotAvailable):
    """The archive of a job was removed because it was old enough."""


class NotReady(Permanent):
    """Several things are missing for an export."""


class SettingMissing(Permanent):
    """A setting without a default is not set."""


class SettingRefused(Permanent):
    """A setting has an invalid value, or comes from a place that is not allowed."""


class LedgerOutdated(Permanent):
    """The ledger's tables are missing or of another version than this package needs."""


class LedgerRefused(Permanent):
    """The ledger cannot use this connection to its database."""


class TreeError(Permanent):
    """A mistake in a tree file."""


class SourceChanged(Permanent):
    """The source lacks a table or column that the tree requires."""


class SourceRefused(Permanent):
    """The source refused a statement and will refuse it again.

    sqlstate: PostgreSQL's five characters, None where there is none.
    """

    def __init__(self, message: str, sqlstate: str | None = None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class SourceFiltered(SourceRefused):
    """The source may hide rows of what is exported, and no setting allows that."""


class FilesMissing(Permanent):
    """Files that the source names are missing, or are not what it says."""


class StoreUnusable(Permanent):
    """The artifact store is set up wrongly."""


class GitUnusable(Permanent):
    """git is missing, too old to be kept from running commands, or its user does not exist."""


class RepositoryRefused(Permanent):
    """A git repository is unsafe, not whole, or not where it may be read."""


class ArchiveBroken(Permanent):
    """The content of an archive is wrong."""


class DeliveryRefused(Permanent):
    """The recipient of an archive or a notice refuses it."""


class UnitFailed(Permanent):
    """Relations of one worker failed for good, after it exported all others."""


WHOLE = "*"
"""Replaces a relation's name when the job as a whole failed."""


@dataclass(frozen=True)
class Failure:
    """One relation's last error, as the ledger keeps it; relation is `*` where the job as a whole has failed.

    code: see `ProjectExportError.code`; also `Killed` (its process died), `Silent` (it gave no sign of life), `Starved`
    (no slot of the pool), `Cancelled`, `NotStarted` (its run could not be triggered). at: when, by the ledger's clock
    (ISO 8601), if it is known.
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


class AwaitsTurn(Retryable):
    """The turn of a job has not come yet; ask again after `seconds`."""

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


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
    """A process ran out of memory."""


class WindowOpen(Retryable):
    """A transaction is open whose changes may belong to the window."""


class SnapshotMissing(Retryable):
    """The snapshot that the job's relations share is not held."""


class StoreRefused(Retryable):
    """The artifact store could not be written or read."""


class ArtifactMissing(StoreRefused):
    """A file that the store should have does not exist."""


class TemporaryRefused(Retryable):
    """A temporary file could not be written or read."""


class GitFailed(Retryable):
    """git was killed, took too long, or could not fetch; or its repository changed meanwhile."""


class DeliveryFailed(Retryable):
    """The recipient of an archive or a notice cannot be reached, or is overloaded."""


class PartCorrupt(Retryable):
    """A finished part is not what was written."""

    def __init__(self, relation: str, part: int, message: str) -> None:
        super().__init__(message)
        self.relation = relation
        self.part = part


class UnitUnfinished(Retryable):
    """Relations of one worker failed in a way that a retry may cure, after it exported all others."""


class Unforeseen(Retryable):
    """An exception without a class in this tree. It counts as a failure, so that no export hangs on it."""


class Stopped(ProjectExportError):
    """Another process has taken over; stop without changing anything."""


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
