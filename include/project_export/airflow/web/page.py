"""The page `Project exports` as an app."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from project_export.airflow.web.guard import Guard
from project_export.airflow.web.pages import actions, downloads, failures, job, jobs, logs, run, start, tokens

_STATIC = Path(__file__).parent / "static"


class _Static(StaticFiles):
    """Files that anybody may read. Browsers keep them, but ask whether they have changed."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        return response


def app() -> Any:
    """Return the app. Each router requires a caller who may read the DAG's runs; only static files do not."""
    page = FastAPI(title="Project exports", docs_url=None, redoc_url=None, openapi_url=None)
    for module in (jobs, start, job, actions, downloads, logs, run, tokens):
        page.include_router(module.router)
    page.mount("/static", _Static(directory=_STATIC), name="static")
    failures.handle(page)
    page.add_middleware(Guard)
    return page
