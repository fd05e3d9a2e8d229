"""What to do about an error, by its code: for what the message itself cannot know."""

from __future__ import annotations

from collections.abc import Mapping

_AGAIN = "Retry the export; it exports only what is missing."

REMEDIES: Mapping[str, str] = {
    "42501": "",  # the message says what to grant
    "40001": _AGAIN,
    "40P01": _AGAIN,
    "55P03": f"Something else has locked the table. {_AGAIN}",
    "57014": "The statement took too long, or was cancelled. Retry, or raise PROJECT_EXPORT_STATEMENT_TIMEOUT_SECONDS.",
    "08": f"The connection to the source was lost. {_AGAIN}",
    "53": f"The source is short of resources. {_AGAIN}",
    "57": f"The source was stopped or restarted. {_AGAIN}",
    "22": "Repair the value that the message names in the source, then retry.",
    "42": "The source is not as the tree expects it. `project-export check` lists every difference.",
    "ENOSPC": "Free space in the store, or prune archives, then retry.",
    "EACCES": "Let the user of the tasks write to the store, then retry.",
    "FilesMissing": "Restore the files, or set PROJECT_EXPORT_MISSING_FILES to report, then retry.",
    "ProjectNotFound": "Check the project's id and the connection of the source.",
    "SnapshotMissing": f"The shared snapshot was lost. {_AGAIN}",
    "Killed": "The process died; often it ran out of memory. Check the machine's log, then retry.",
    "Silent": "The process gave no sign of life. Check the log of its task, then retry.",
    "Starved": "Give the pool project_export more slots, or wait for other exports, then retry.",
    "Cancelled": _AGAIN,
    "StoreRefused": "Check that the store can be reached and has space, then retry.",
    "LedgerBusy": f"The ledger did not answer. {_AGAIN}",
    "OutOfMemory": "Give the tasks more memory, then retry.",
    "DeliveryRefused": "The recipient refuses the archive. Check the URL; an expired one needs a new export.",
    "DeliveryFailed": f"The recipient cannot be reached, or is overloaded. {_AGAIN}",
}
"""By `Failure.code`: an SQLSTATE or the first two characters of one, an errno, or the name of a class."""

_CLASS = 2
_SQLSTATE = 5


def remedy(code: str | None) -> str:
    """Return what to do about an error with this code; empty if its message says all that is known.

    >>> remedy("08006")
    'The connection to the source was lost. Retry the export; it exports only what is missing.'
    >>> remedy("BadRequest")
    ''
    """
    if not code:
        return ""
    found = REMEDIES.get(code)
    if found is None and len(code) == _SQLSTATE and code[:_CLASS].isdecimal():
        found = REMEDIES.get(code[:_CLASS])
    return found or ""
