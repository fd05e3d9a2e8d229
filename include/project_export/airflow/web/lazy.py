"""Apps that are built when their first request arrives.

Airflow imports plugins in each of its components, and in each CLI command; only the API server serves them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from importlib import import_module
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

AIRFLOW = "project_export.airflow_app"
"""Key in the scope of a request: the app that this one is mounted in, which has Airflow's own REST API."""

SOURCE = "project_export.source"
"""Key in the scope of a request: the source that its path names. Without it, the request is about the default one."""


class LazyApp:
    """An ASGI app that a function of a module builds at the first request.

    module, function: where to find it; it takes no arguments.
    """

    def __init__(self, module: str, function: str) -> None:
        self._module = module
        self._function = function
        self._app: App | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, and note which app it came through."""
        if self._app is None:
            self._app = getattr(import_module(self._module), self._function)()
        scope[AIRFLOW] = scope.get("app")
        await self._app(scope, receive, send)
