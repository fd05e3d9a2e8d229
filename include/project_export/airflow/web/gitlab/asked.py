"""What requests ask for: the project or namespace of a path, the page of a list, and the limits on how often."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated
from urllib.parse import unquote

from fastapi import Depends, Path, Query, Request

from project_export.airflow.web.access import ApiReader
from project_export.airflow.web.airflow_api import AirflowApi
from project_export.airflow.web.callers import Caller
from project_export.airflow.web.gitlab.lookups import Lookups, Namespace, Project, See
from project_export.airflow.web.gitlab.replies import not_found, too_many
from project_export.airflow.web.lazy import SOURCE
from project_export.airflow.web.server import context
from project_export.steps import Context

LARGEST_PAGE = 100
"""Most items of a page, as in GitLab, however many a client asks for."""


def source_context(request: Request, ctx: Annotated[Context, Depends(context)]) -> Context:
    """Return the context of the source that the root of a request is for. Raises Refused 404 if there is none."""
    source = request.scope.get(SOURCE)
    if source is not None and source not in ctx.sources:
        raise not_found("Source")
    return ctx.of(source or ctx.source)


Ctx = Annotated[Context, Depends(source_context)]
Id = Annotated[str, Path(description="An id, or a path with `%2F` for each slash.", examples=["1", "group/project"])]
Number = Annotated[int, Query(ge=1, lt=1 << 31, description="Which page, from 1 on.")]
Size = Annotated[int, Query(ge=1, lt=1 << 31, description=f"Items of a page, at most {LARGEST_PAGE}.")]


@contextmanager
def looking_up(ctx: Context) -> Iterator[Lookups]:
    """Open a session on the source. Raises Refused if its tree does not export GitLab's projects."""
    if ctx.tree.root.table != "projects":
        raise not_found("Project")
    with ctx.session("api") as session:
        yield Lookups(session)


def seen_by(ctx: Context, caller: Caller) -> See | None:
    """Return which projects a caller may see, by the setting `access`; None if that is all of them."""
    access = ctx.access
    if access is None:
        return None
    return lambda number, path: access.may(caller.name, caller.teams, number, path)


def asked_project(caller: ApiReader, ctx: Ctx, id: Id) -> Project:
    """Return the project that a path names. Raises Refused 404 whether it does not exist or may not be seen."""
    with looking_up(ctx) as lookups:
        found = lookups.project(unquote(id))
    see = seen_by(ctx, caller)
    if found is None or (see is not None and not see(found.id, found.path)):
        raise not_found("Project")
    return found


def asked_namespace(caller: Caller, ctx: Context, id: str, what: str) -> Namespace:
    """Return a namespace. Raises Refused 404 whether it does not exist or contains no project that may be seen."""
    see = seen_by(ctx, caller)
    with looking_up(ctx) as lookups:
        found = lookups.namespace(unquote(id))
        if found is None or (see is not None and not lookups.any(see, found)):
            raise not_found(what)
    return found


def asked_airflow(request: Request, caller: ApiReader) -> AirflowApi:
    """Return Airflow's own API for the caller."""
    return AirflowApi(request, caller)


AskedProject = Annotated[Project, Depends(asked_project)]
AskedAirflow = Annotated[AirflowApi, Depends(asked_airflow)]


def limit(ctx: Context, caller: Caller, action: str, per_minute: int) -> None:
    """Count a request. Raises Refused 429 if the caller has sent too many of them in this minute."""
    if wait := ctx.ledger.rates.wait(caller.name, action, per_minute):
        raise too_many(wait)


def root_url(request: Request) -> str:
    """Return the URL of this API for the client: with the request's scheme, host and port, and the base path."""
    return f"{_server(request)}{request.scope.get('root_path', '')}"


def page_url(request: Request) -> str:
    """Return the URL of the page, which Airflow mounts beside this API."""
    return f"{_server(request)}{request.scope.get('app_root_path', '')}/project-exports"


def _server(request: Request) -> str:
    host = request.headers.get("host") or ":".join(map(str, request.scope.get("server") or ("localhost",)))
    return f"{request.scope['scheme']}://{host}"
