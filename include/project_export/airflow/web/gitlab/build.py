"""Builds the app."""

from __future__ import annotations

from fastapi import FastAPI

from project_export.airflow.web.gitlab import document, exports, lists, projects, relations, users
from project_export.airflow.web.gitlab.paths import AsSent
from project_export.airflow.web.gitlab.replies import Reply, add_handlers
from project_export.airflow.web.lazy import App

ROUTERS = (exports.router, relations.router, projects.router, users.router, lists.router, document.router)


def app() -> App:
    """Return the app."""
    return AsSent(routes())


def routes() -> FastAPI:
    """Return the app without the wrapper that restores paths."""
    api = FastAPI(
        title="GitLab's export API",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        default_response_class=Reply,
    )
    add_handlers(api)
    for router in ROUTERS:
        api.include_router(router)
    return api
