"""Lists of what is never exported. Clients ask for them before or after an export, and an empty list satisfies them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from project_export.airflow.web.gitlab.asked import AskedProject
from project_export.airflow.web.gitlab.shown import REFUSES

router = APIRouter(tags=["lists"])

NAMES = ("packages", "variables", "triggers", "hooks", "access_tokens", "runners", "registry/repositories")


def empty(project: AskedProject) -> list[Any]:
    """Return an empty list."""
    return []


for _name in NAMES:
    router.add_api_route(
        f"/projects/{{id}}/{_name}",
        empty,
        response_model=list[Any],
        responses=REFUSES,
        operation_id=f"list_{_name.replace('/', '_')}",
    )
