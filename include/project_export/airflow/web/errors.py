"""Errors as responses: which status the page and the API answer with, and what they may say."""

from __future__ import annotations

from collections.abc import Mapping

from project_export.airflow.web.airflow_api import AirflowRefused
from project_export.errors import (
    BadRequest,
    Expired,
    JobActive,
    JobMissing,
    MoveRefused,
    NotAllowed,
    NotAvailable,
    Permanent,
    ProjectExportError,
    ProjectNotFound,
    Retryable,
    Stopped,
)
from project_export.ledger.scrub import scrub

STATUS: Mapping[type[ProjectExportError], int] = {
    BadRequest: 400,
    NotAllowed: 403,
    ProjectNotFound: 404,
    JobMissing: 404,
    NotAvailable: 404,
    Expired: 410,
    JobActive: 409,
    MoveRefused: 409,
    Stopped: 409,
    Permanent: 500,  # something in the set-up has to be changed
    Retryable: 503,
    ProjectExportError: 500,
}
"""Status of a response by the class of the error; a class that is not listed has that of its parent."""

_BAD_GATEWAY = 502


def status_of(error: ProjectExportError | AirflowRefused) -> int:
    """Return the status of the response for an error. What Airflow refuses keeps its status, unless Airflow failed."""
    if isinstance(error, AirflowRefused):
        return error.status if 400 <= error.status < 500 else _BAD_GATEWAY
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def message(error: Exception) -> str:
    """Return what a response may say about an error: its message without credentials."""
    return scrub(str(error)).strip()
