"""Who the caller is, and what this server is."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from fastapi import APIRouter

from project_export.airflow.web.access import ApiReader
from project_export.airflow.web.gitlab.asked import Ctx
from project_export.airflow.web.gitlab.shown import REFUSES, User, Version

router = APIRouter(tags=["users"])

_UNKNOWN = "0.0.0"


@router.get("/user", response_model=User, responses=REFUSES)
def get_user(caller: ApiReader) -> dict[str, Any]:
    """Return the caller. Airflow's users need not have numbers, so the id is made of the name."""
    number = int.from_bytes(sha256(caller.name.encode()).digest()[:4], "big") >> 1
    return {"id": number, "username": caller.name, "name": caller.name, "state": "active"}


@router.get("/version", response_model=Version, responses=REFUSES)
def get_version(caller: ApiReader, ctx: Ctx) -> dict[str, Any]:
    """Return the version of GitLab that exports say they are from."""
    settings = ctx.settings
    return {"version": settings.gitlab_version or _UNKNOWN, "revision": settings.gitlab_revision}
