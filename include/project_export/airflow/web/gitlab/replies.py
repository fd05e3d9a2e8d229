"""Responses in GitLab's form: JSON with `message`, or with `error` where a parameter is wrong."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, MutableMapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

from project_export.airflow.web.airflow_api import AirflowRefused
from project_export.airflow.web.errors import message, status_of
from project_export.airflow.web.lazy import App, Receive, Scope, Send
from project_export.errors import BadRequest, NotAvailable, ProjectExportError, ProjectNotFound

log = logging.getLogger(__name__)

ACCEPTED: Mapping[str, Any] = {"message": "202 Accepted"}
TOO_MANY = "This endpoint has been requested too many times. Try again later."

_WORDS = {
    400: "400 Bad request",
    401: "401 Unauthorized",
    403: "403 Forbidden",
    404: "404 Not Found",
    405: "405 Not Allowed",
    409: "409 Conflict",
    413: "413 Request Entity Too Large",
    500: "500 Internal Server Error",
    502: "502 Bad Gateway",
    503: "503 Service Unavailable",
}
_HEADERS = {
    "Cache-Control": "no-store",
    # Airflow compresses what its apps send, and drops the length; this says that there is an encoding already: none.
    "Content-Encoding": "identity",
    "X-Content-Type-Options": "nosniff",
}


class Reply(JSONResponse):
    """A JSON response whose type has no charset, as clients compare it, and whose length stays exact."""

    media_type = "application/json"

    def __init__(
        self, content: Any = None, status_code: int = 200, headers: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(content, status_code, {**_HEADERS, **(headers or {})}, **more)


class Refused(Exception):
    """A refusal in GitLab's words. body: of the response; wait: seconds until the request may be sent again."""

    def __init__(self, status: int, body: Mapping[str, Any], wait: int | None = None) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status
        self.body = body
        self.wait = wait


def not_found(what: str = "") -> Refused:
    """Return the refusal for something that does not exist, or that the caller may not see: the same for both."""
    return Refused(404, {"message": f"404 {what} Not Found".replace("  ", " ")})


def said(status: int, text: str) -> Refused:
    """Return a refusal with a message."""
    return Refused(status, {"message": text})


def wrong(text: str) -> Refused:
    """Return the refusal of a parameter."""
    return Refused(400, {"error": text})


def too_many(wait: int) -> Refused:
    """Return the refusal of a request over the limit. wait: seconds."""
    return Refused(429, {"message": {"error": TOO_MANY}}, math.ceil(wait))


class Unforeseen:
    """Wraps an app, and answers with 500 for an exception before the response has started; later, it breaks it off."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        started = False

        async def send_noting(event: MutableMapping[str, Any]) -> None:
            nonlocal started
            started = True
            await send(event)

        try:
            await self._app(scope, receive, send_noting)
        except Exception as error:
            if started:
                raise
            await answer(error)(scope, receive, send)


def add_handlers(app: FastAPI) -> None:
    """Let an app answer with these for every error."""
    app.add_middleware(Unforeseen)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(ProjectExportError, _ours)
    app.add_exception_handler(AirflowRefused, _ours)


def answer(error: Exception) -> Response:
    """Return the response for any error. What is behind a 5xx is only in the log."""
    if isinstance(error, Refused):
        headers = {} if error.wait is None else {"Retry-After": str(error.wait)}
        return Reply(error.body, error.status, headers)
    if isinstance(error, HTTPException):
        return Reply({"message": _WORDS.get(error.status_code, str(error.detail))}, error.status_code, error.headers)
    if isinstance(error, ProjectNotFound):
        return answer(not_found("Project"))
    if isinstance(error, NotAvailable):
        return Reply({"message": "404 Not found or has expired"}, 404)
    status = status_of(error) if isinstance(error, (ProjectExportError, AirflowRefused)) else 500
    if status >= 500:
        log.error("the request cannot be answered", exc_info=error)
        return Reply({"message": _WORDS.get(status, _WORDS[500])}, status)
    if isinstance(error, BadRequest):
        return Reply({"error": message(error)}, status)
    text = message(error) if status not in (401, 403) else ""
    return Reply({"message": text or _WORDS.get(status, str(status))}, status)


async def _refused(request: Request, error: Exception) -> Response:
    return answer(error)


_ours = _refused


async def _http(request: Request, error: Exception) -> Response:
    """Answer as `answer` does; 404 and 405 come from the router alone, and say that it has no such path or method."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return Reply({"error": _WORDS[404]}, 404)
    if error.status_code == 405:
        return Reply({"error": _WORDS[405]}, 405, {"Allow": ", ".join(_allowed(request))})
    return answer(error)


def _allowed(request: Request) -> list[str]:
    """Return the methods of all routes that have the path of a request; the router names those of the first only."""
    found = [route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE]
    return sorted({method for route in found for method in route.methods})


async def _invalid(request: Request, error: Exception) -> Response:
    """Name the parameters that cannot be read."""
    assert isinstance(error, RequestValidationError)
    names = dict.fromkeys(str(one["loc"][-1]) for one in error.errors())
    missing = {str(one["loc"][-1]) for one in error.errors() if one["type"] == "missing"}
    return answer(wrong(", ".join(f"{name} is {'missing' if name in missing else 'invalid'}" for name in names)))
