"""The roots of the API for the sources: /api/v4 is the default one's, and each has SOURCE/api/v4 below another mount.

So a client of the source `crm` only has another URL: https://airflow.example/project-exports/sources/crm.
"""

from __future__ import annotations

from urllib.parse import unquote

from starlette.responses import JSONResponse

from project_export.airflow.web.gitlab.build import app
from project_export.airflow.web.lazy import SOURCE, App, Receive, Scope, Send

_BELOW = "/api/v4"


class SourceRoots:
    """An app that lets the API answer below SOURCE/api/v4, about that source."""

    def __init__(self, api: App) -> None:
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request. The API refuses sources that do not exist."""
        if scope["type"] != "http":
            return
        root = str(scope.get("root_path", ""))
        path = str(scope["path"])
        source, below, rest = path.removeprefix(root).removeprefix("/").partition(_BELOW)
        if not below or "/" in source or not source or (rest and not rest.startswith("/")):
            await JSONResponse({"error": "404 Not Found"}, 404)(scope, receive, send)
            return
        scope = {**scope, "root_path": f"{root}/{source}{_BELOW}", SOURCE: unquote(source)}
        await self._api(scope, receive, send)


def sources_app() -> App:
    """Return the app."""
    return SourceRoots(app())
