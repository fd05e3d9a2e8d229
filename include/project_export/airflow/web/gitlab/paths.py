"""Paths as GitLab's clients write them: `grp%2Fdemo` is one part of a path, and names a project by its own path.

A server decodes the path of a request before it routes it, so `%2F` and `/` look the same. This wrapper routes by the
path as it was sent, with each part quoted in one way; routes unquote the parts that they take.
"""

from __future__ import annotations

from urllib.parse import quote, unquote

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from project_export.airflow.web.lazy import App, Receive, Scope, Send

LARGEST_BODY = 1 << 20
"""Bytes of the largest request; a description has at most a few thousand characters."""


class AsSent:
    """Wraps an app that is mounted somewhere, and lets it see the part of the path below the mount as it was sent."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "http":
            scope = {**scope, "path": scope.get("root_path", "") + below_mount(scope)}
            receive = _limited(Headers(scope=scope), receive)
        await self._app(scope, receive, send)


def below_mount(scope: Scope) -> str:
    """Return the path of a request below the place where the app is mounted, each part quoted, without a last slash.

    >>> path = "/base/api/v4/projects/grp/demo/export"
    >>> below_mount({"path": path, "raw_path": b"/base/api/v4/projects/grp%2fdemo/export", "root_path": "/base/api/v4"})
    '/projects/grp%2Fdemo/export'
    >>> below_mount({"path": "/projects/1/", "root_path": ""})
    '/projects/1'
    """
    path = str(scope["path"])
    top, root = str(scope.get("app_root_path", "")), str(scope.get("root_path", ""))
    # A proxy may have cut the base path off, which the root path contains.
    mounts = (mount for mount in (root, root.removeprefix(top)) if f"{path}/".startswith(f"{mount}/"))
    sent = scope.get("raw_path")
    raw = quote(path, safe="/") if sent is None else bytes(sent).partition(b"?")[0].decode("latin-1")
    return "/".join(quote(unquote(part), safe="") for part in _after(raw, next(mounts, "")).split("/")).rstrip("/")


def _after(raw: str, mount: str) -> str:
    """Return what follows a mount in a quoted path."""
    ends = [at for at, letter in enumerate(raw) if letter == "/"]
    return next((raw[end:] for end in (*ends, len(raw)) if unquote(raw[:end]) == mount), raw)


def _limited(headers: Headers, receive: Receive) -> Receive:
    """Return what receives the body of a request, and raises HTTPException 413 if it is too large."""
    announced = headers.get("content-length", "")
    left = LARGEST_BODY

    async def receive_some() -> dict[str, object]:
        nonlocal left
        if announced.isdecimal() and int(announced[:20]) > LARGEST_BODY:
            raise HTTPException(413)
        event = dict(await receive())
        left -= len(event.get("body") or b"")
        if left < 0:
            raise HTTPException(413)
        return event

    return receive_some
