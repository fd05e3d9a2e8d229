"""Errors as pages: what happened, and what to do."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import urlencode

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from project_export.airflow.web.airflow_api import AirflowRefused
from project_export.airflow.web.errors import message, status_of
from project_export.airflow.web.render import html, is_fragment, root_of
from project_export.errors import ProjectExportError

log = logging.getLogger(__name__)

_TITLES: Mapping[int, str] = {
    401: "Please log in",
    403: "You may not do this",
    404: "Not found",
    405: "This address cannot be used like this",
    409: "This is not possible now",
    410: "It has expired",
    422: "The request is wrong",
    429: "Too many requests",
    500: "The export is not set up correctly",
    502: "Airflow did not answer",
    503: "This does not work at the moment",
}
_ADVICE: Mapping[int, str] = {
    401: "Log in to Airflow, then open this page again.",
    403: "Ask an administrator of Airflow for the permission on the DAG export_project.",
    404: "The job may have been pruned, or you may not see it.",
    422: "Go back, correct it and try again.",
    502: "Try again. If it stays, the log of the API server has the cause.",
    503: "Try again in a moment.",
}


def handle(app: FastAPI) -> None:
    """Make an app answer errors with pages."""
    app.add_exception_handler(ProjectExportError, _known)
    app.add_exception_handler(AirflowRefused, _known)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _wrong)
    app.add_exception_handler(Exception, _unforeseen)


def _known(request: Request, error: Exception) -> Response:
    assert isinstance(error, (ProjectExportError, AirflowRefused))
    log.warning("%s %s: %s", request.method, request.url.path, message(error))
    return failed(request, status_of(error), message(error))


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.UNAUTHORIZED and _may_log_in(request):
        wanted = f"{request.url.path}?{request.url.query}".rstrip("?")
        return RedirectResponse(f"{root_of(request)}../api/v2/auth/login?{urlencode({'next': wanted})}", 303)
    return failed(request, error.status_code, "")


def _wrong(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    places = [f"{one['loc'][-1]}: {one['msg']}" for one in error.errors()]
    return failed(request, HTTPStatus.UNPROCESSABLE_ENTITY, "\n".join(places))


def _unforeseen(request: Request, error: Exception) -> Response:
    del error  # Starlette logs it; its text may be anything
    return failed(
        request, 500, "This was not foreseen. The log of Airflow's API server has the cause.", "Internal error"
    )


def failed(request: Request, status: int, text: str, title: str = "") -> Response:
    """Return an error as a page; to htmx, as a fragment."""
    return html(
        "_error.html" if is_fragment(request) else "error.html",
        root=root_of(request),
        status=status,
        title=title or _TITLES.get(status, "This did not work"),
        text=text,
        advice=_ADVICE.get(status, ""),
    )


def _may_log_in(request: Request) -> bool:
    """Return whether a browser shows the answer as a page, so that its user can log in and come back."""
    shown = request.method == "GET" and "text/html" in request.headers.get("accept", "")
    return shown and not is_fragment(request) and "authorization" not in request.headers
