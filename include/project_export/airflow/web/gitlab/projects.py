"""The projects of the source, and the namespaces that they are in."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request

from project_export.airflow.web.access import ApiReader
from project_export.airflow.web.callers import Caller
from project_export.airflow.web.gitlab.asked import (
    LARGEST_PAGE,
    AskedProject,
    Ctx,
    Id,
    Number,
    Size,
    asked_namespace,
    looking_up,
    root_url,
    seen_by,
)
from project_export.airflow.web.gitlab.lookups import Namespace, Page
from project_export.airflow.web.gitlab.replies import Reply, not_found, said
from project_export.airflow.web.gitlab.shown import (
    REFUSES,
    Group,
    ShownNamespace,
    ShownProject,
    shown_group,
    shown_namespace,
    shown_project,
)
from project_export.steps import Context

router = APIRouter(tags=["projects"])

_GROUP = "Group"
_READ_ONLY = "403 Forbidden: exports only read the source, so nothing there can be changed"

Simple = Annotated[bool, Query(description="Whether to leave out what is not needed to name a project.")]
Membership = Annotated[bool, Query(description="Accepted and ignored: a caller only sees projects to export.")]


@router.get("/projects", response_model=list[ShownProject], response_model_exclude_unset=True, responses=REFUSES)
def list_projects(
    request: Request,
    caller: ApiReader,
    ctx: Ctx,
    simple: Simple = False,
    membership: Membership = False,
    page: Number = 1,
    per_page: Size = 20,
) -> Reply:
    """Return a page of the projects that the caller may export, newest first."""
    return _listed(request, caller, ctx, simple, page, per_page)


@router.get("/projects/{id}", response_model=ShownProject, responses=REFUSES)
def get_project(project: AskedProject) -> dict[str, Any]:
    """Return a project."""
    return shown_project(project)


@router.post("/projects/{id}/archive", status_code=403, responses=REFUSES)
@router.post("/projects/{id}/unarchive", status_code=403, responses=REFUSES)
def archive_project(project: AskedProject) -> None:
    """Refuse to change the source."""
    raise said(403, _READ_ONLY)


@router.get("/namespaces/{id}", response_model=ShownNamespace, responses=REFUSES)
def get_namespace(caller: ApiReader, ctx: Ctx, id: Id) -> dict[str, Any]:
    """Return a namespace."""
    return shown_namespace(asked_namespace(caller, ctx, id, "Namespace"))


@router.get("/groups/{id}", response_model=Group, responses=REFUSES)
def get_group(caller: ApiReader, ctx: Ctx, id: Id) -> dict[str, Any]:
    """Return a group."""
    return shown_group(_group(caller, ctx, id))


@router.get(
    "/groups/{id}/projects", response_model=list[ShownProject], response_model_exclude_unset=True, responses=REFUSES
)
def list_group_projects(
    request: Request,
    caller: ApiReader,
    ctx: Ctx,
    id: Id,
    simple: Simple = False,
    include_subgroups: bool = False,
    page: Number = 1,
    per_page: Size = 20,
) -> Reply:
    """Return a page of the group's projects that the caller may export, newest first."""
    return _listed(request, caller, ctx, simple, page, per_page, _group(caller, ctx, id), deep=include_subgroups)


def _group(caller: Caller, ctx: Context, id: str) -> Namespace:
    found = asked_namespace(caller, ctx, id, _GROUP)
    if found.kind not in (_GROUP, None):
        raise not_found(_GROUP)
    return found


def _listed(
    request: Request,
    caller: Caller,
    ctx: Context,
    simple: bool,
    number: int,
    per_page: int,
    within: Namespace | None = None,
    *,
    deep: bool = False,
) -> Reply:
    size = min(per_page, LARGEST_PAGE)
    with looking_up(ctx) as lookups:
        page = lookups.page(number, size, seen_by(ctx, caller), within, deep=deep)
    content = [shown_project(project, simple=simple) for project in page.items]
    return Reply(content, headers=_paging(request, page, number, size))


def _paging(request: Request, page: Page, number: int, size: int) -> dict[str, str]:
    """Return the headers by which clients find the other pages."""
    given = {name: value for name, value in request.query_params.items() if name not in ("page", "per_page")}
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))

    def url(number: int) -> str:
        return f"{root_url(request)}{path}?{urlencode({**given, 'page': number, 'per_page': size})}"

    others = {"prev": number - 1 if number > 1 else None, "next": number + 1 if page.more else None, "first": 1}
    headers = {"X-Page": str(number), "X-Per-Page": str(size)}
    for name in ("prev", "next"):
        headers[f"X-{name.title()}-Page"] = str(others[name] or "")
    if page.total is not None:
        pages = max(1, -(-page.total // size))
        others["last"] = pages
        headers |= {"X-Total": str(page.total), "X-Total-Pages": str(pages)}
    headers["Link"] = ", ".join(f'<{url(at)}>; rel="{name}"' for name, at in others.items() if at)
    return headers
