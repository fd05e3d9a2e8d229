"""The API of GitLab's clients without a running Airflow: its own ledger, store and source, and users of every role.

Airflow's auth manager and permissions are the real ones. Only its database is missing: triggered runs are written down.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from unittest.mock import patch

import httpx
from fastapi import FastAPI
from starlette.testclient import TestClient

from project_export.steps import Context

ROLES = {"ann": "admin", "ulla": "user", "vera": "viewer", "nobody": None}
HOUR = 3600


@dataclass
class Api:
    """The mounted API. triggered: params by run id; refused: the answer to a trigger instead; gone: runs that ended."""

    client: TestClient
    ctx: Context
    tokens: Mapping[str, str]
    base: str
    triggered: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    refused: Exception | None = None
    gone: set[str] = field(default_factory=set)

    def ask(self, method: str, path: str, user: str | None = "ulla", **more: Any) -> httpx.Response:
        """Send a request as a user; path: below /api/v4."""
        headers = {} if user is None else {"PRIVATE-TOKEN": self.tokens[user]}
        return self.client.request(
            method, f"{self.base}/api/v4{path}", headers={**headers, **more.pop("headers", {})}, **more
        )

    def get(self, path: str, user: str | None = "ulla", **more: Any) -> httpx.Response:
        return self.ask("GET", path, user, **more)

    def post(self, path: str, user: str | None = "ulla", **more: Any) -> httpx.Response:
        return self.ask("POST", path, user, **more)

    async def trigger(self, run_id: str, conf: Mapping[str, Any]) -> None:
        if self.refused is not None:
            raise self.refused
        self.triggered[run_id] = conf

    def run_alive(self, name: str) -> bool:
        return name not in self.gone


@cache
def _routes() -> FastAPI:
    """Build the app once: that takes longer than most tests."""
    from project_export.airflow.web.gitlab.build import routes

    return routes()


@contextmanager
def mounted(ctx: Context, base: str = "") -> Iterator[Api]:
    """Mount the API as Airflow does: below a base path, in middlewares that compress bodies and cut them in pieces."""
    from airflow.api_fastapi.app import create_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from airflow.models.dag import DagModel
    from airflow.models.revoked_token import RevokedToken
    from fastapi.middleware.gzip import GZipMiddleware
    from starlette.middleware.base import BaseHTTPMiddleware

    from project_export.airflow.web import callers, server, starting
    from project_export.airflow.web.gitlab.asked import asked_airflow
    from project_export.airflow.web.gitlab.paths import AsSent

    manager = create_auth_manager()
    tokens = {}
    for name, role in ROLES.items():
        claims = manager.serialize_user(SimpleAuthManagerUser(username=name, role=role))
        _, tokens[name] = ctx.ledger.tokens.create(name, "test", claims, HOUR)
    app = _routes()
    app.dependency_overrides.clear()
    airflow = FastAPI(root_path=base)
    airflow.mount("/api/v4", AsSent(app))
    airflow.add_middleware(BaseHTTPMiddleware, dispatch=lambda request, answer: answer(request))
    airflow.add_middleware(GZipMiddleware, minimum_size=100)
    with (
        patch.object(callers, "context", lambda: ctx),
        patch.object(DagModel, "get_team_name", lambda *_: None),
        patch.object(RevokedToken, "is_revoked", lambda *_: False),
        TestClient(airflow, base_url="http://airflow.example:8080", follow_redirects=False) as client,
    ):
        api = Api(client, ctx, tokens, base)
        app.dependency_overrides[server.context] = lambda: ctx
        app.dependency_overrides[asked_airflow] = lambda: api
        with patch.object(starting, "run_alive", api.run_alive):
            yield api
