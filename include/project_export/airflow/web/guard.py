"""What holds for every request to the page and every response from it: security headers, and no forged requests."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any
from urllib.parse import urlsplit

from airflow.configuration import conf
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse

from project_export.airflow.web.lazy import App, Receive, Scope, Send

_SAFE = ("GET", "HEAD", "OPTIONS")
_OWN = "'self'"
_POLICY = {
    "default-src": "'none'",
    **dict.fromkeys(("script-src", "style-src", "img-src", "connect-src", "font-src"), _OWN),
    "form-action": _OWN,
    "frame-ancestors": _OWN,
    "base-uri": "'none'",
}
HEADERS = {
    "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in _POLICY.items()),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_NOT_KEPT = "no-store"


class Guard:
    """Adds the headers to each response, and refuses requests that another site made a browser send.

    A request that may change something must say that a page of this origin made it. One that says nothing about its
    origin comes from a script, which has to bring a token: a browser never adds that by itself.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(event: MutableMapping[str, Any]) -> None:
            if event["type"] == "http.response.start":
                headers = MutableHeaders(scope=event)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", _NOT_KEPT)
            await send(event)

        app: Any = self._app
        if scope["method"] not in _SAFE and not _from_here(Headers(scope=scope)):
            app = PlainTextResponse("403 Forbidden: another site has sent this request. Use the page itself.", 403)
        await app(scope, receive, send_guarded)


def _from_here(headers: Headers) -> bool:
    if site := headers.get("sec-fetch-site"):
        return site == "same-origin"
    if origin := headers.get("origin") or headers.get("referer"):
        return urlsplit(origin).netloc in _hosts(headers)
    return "authorization" in headers


def _hosts(headers: Headers) -> set[str]:
    """Return the names that this server has for browsers: what the request asked for, and the base URL of Airflow."""
    base = urlsplit(conf.get("api", "base_url", fallback="") or "").netloc
    return {name for name in (headers.get("host"), base) if name}
