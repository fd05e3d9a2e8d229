"""The caller's own long-lived tokens for the API."""

from __future__ import annotations

from typing import Annotated

from airflow.api_fastapi.app import get_auth_manager
from fastapi import APIRouter, Depends, Form
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from project_export.airflow.web.access import PageReader, page_reader
from project_export.airflow.web.callers import Caller
from project_export.airflow.web.pages.parts import Ctx
from project_export.airflow.web.render import html
from project_export.steps import Context

router = APIRouter(dependencies=[Depends(page_reader)])

_DAY = 86400
_LONGEST_NAME = 100


@router.get("/tokens")
def show_tokens(request: Request, ctx: Ctx, caller: PageReader) -> Response:
    """Show the tokens of the caller, without their secrets."""
    return _shown(request, ctx, caller)


@router.post("/tokens")
def create_token(
    request: Request,
    ctx: Ctx,
    caller: PageReader,
    name: Annotated[str, Form(max_length=1000)] = "",
    days: Annotated[str, Form(max_length=20)] = "",
) -> Response:
    """Create a token and show its secret, once. Raises HTTPException 403 for a caller who came with a token."""
    if not by_login(request):
        raise HTTPException(403, "a token cannot create tokens")
    wanted, most = name.strip(), ctx.settings.token_max_days
    problems = {}
    if not wanted or len(wanted) > _LONGEST_NAME:
        problems["name"] = f"Enter a name of at most {_LONGEST_NAME} characters."
    valid = days.isascii() and days.strip().isdecimal() and len(days) < 6 and 0 < int(days) <= most
    if not valid:
        problems["days"] = f"Enter a number of days from 1 to {most}."
    if problems:
        return _shown(request, ctx, caller, name=name, days=days, problems=problems, status=422)
    claims = get_auth_manager().serialize_user(caller.user)
    _, secret = ctx.ledger.tokens.create(caller.name, wanted, claims, int(days) * _DAY)
    return _shown(request, ctx, caller, secret=secret, created=wanted, status=201)


@router.post("/tokens/{token_id}/revoke")
def revoke_token(request: Request, token_id: int, ctx: Ctx, caller: PageReader) -> Response:
    """Revoke a token of the caller."""
    del request
    if not 0 < token_id < 1 << 63:
        raise HTTPException(404)
    ctx.ledger.tokens.revoke(token_id, caller.name)
    return RedirectResponse("../../tokens", 303)


def by_login(request: Request) -> bool:
    """Return whether a caller has logged in, and did not come with a token."""
    return "authorization" not in request.headers


def _shown(
    request: Request,
    ctx: Context,
    caller: Caller,
    *,
    name: str = "",
    days: str = "",
    problems: dict[str, str] | None = None,
    secret: str = "",
    created: str = "",
    status: int = 200,
) -> Response:
    return html(
        "tokens.html",
        root="./",
        status=status,
        caller=caller,
        tokens=ctx.ledger.tokens.of(caller.name),
        most=ctx.settings.token_max_days,
        may_create=by_login(request),
        name=name,
        days=days,
        problems=problems or {},
        secret=secret,
        created=created,
    )
