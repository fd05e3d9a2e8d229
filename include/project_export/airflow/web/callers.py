"""Who calls.

The page takes what Airflow's own UI and API take: the cookie, or a Bearer token. The API of GitLab's clients takes a
token in `PRIVATE-TOKEN`, `Authorization: Bearer` or `JOB-TOKEN`, and never a cookie. That token is one of Airflow's, or
a long-lived one, for which the ledger has the user's claims.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.core_api.security import get_user, resolve_user_from_token
from fastapi import Depends, HTTPException, Request, status
from fastapi.concurrency import run_in_threadpool

from project_export.airflow.web.server import context
from project_export.ledger.tokens import PREFIX

_HEADERS = ("private-token", "job-token")


@dataclass(frozen=True)
class Caller:
    """A user of Airflow. name: as `triggering_user_name` has it. teams: those that the auth manager knows."""

    name: str
    user: Any = field(repr=False)
    teams: tuple[str, ...] = ()

    @classmethod
    def of(cls, user: BaseUser) -> Caller:
        """Return the caller that a user of Airflow is."""
        return cls(user.get_name(), user, tuple(getattr(user, "teams", None) or ()))


async def page_caller(user: Annotated[BaseUser, Depends(get_user)]) -> Caller:
    """Return who calls the page. Raises HTTPException 401 or 403."""
    return Caller.of(user)


async def api_caller(request: Request) -> Caller:
    """Return whose token a client of the API sends. Raises HTTPException 401, whatever is wrong with the token."""
    secret = _token(request)
    if not secret:
        raise _refused()
    if secret.startswith(PREFIX):
        ledger = (await run_in_threadpool(context)).ledger
        token = await run_in_threadpool(ledger.tokens.find, secret)
        if token is None:
            raise _refused()
        try:
            return Caller.of(get_auth_manager().deserialize_user(dict(token.claims)))
        except Exception as error:
            raise _refused() from error
    try:
        return Caller.of(await resolve_user_from_token(secret))
    except HTTPException as error:
        raise _refused() from error


def _token(request: Request) -> str:
    for name in _HEADERS:
        if value := request.headers.get(name):
            return value.strip()
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else ""


def _refused() -> HTTPException:
    return HTTPException(status.HTTP_401_UNAUTHORIZED, "401 Unauthorized")
