"""What a caller may do.

Airflow decides who may read, start, retry and cancel, by the permissions of its own routes for the same. The setting
`access` also decides which projects a caller may export and see.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Annotated

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.models.dag import DagModel
from fastapi import Depends, HTTPException, status
from fastapi.concurrency import run_in_threadpool

from project_export.access import Access
from project_export.airflow.web.callers import Caller, api_caller, page_caller
from project_export.steps import Context

if TYPE_CHECKING:
    from airflow.api_fastapi.auth.managers.base_auth_manager import ResourceMethod

DAG_ID = "export_project"
"""The DAG whose permissions count, whatever a request says."""


class Action(Enum):
    """What a caller may do, as the method and the entity of Airflow's own route."""

    READ = ("GET", DagAccessEntity.RUN)
    START = ("POST", DagAccessEntity.RUN)
    RETRY = ("PUT", DagAccessEntity.TASK_INSTANCE)
    CANCEL = ("PUT", DagAccessEntity.RUN)
    READ_LOG = ("GET", DagAccessEntity.TASK_LOGS)


def may(caller: Caller, action: Action) -> bool:
    """Return whether Airflow allows a caller an action on the DAG."""
    method: ResourceMethod
    method, entity = action.value
    details = DagDetails(id=DAG_ID, team_name=DagModel.get_team_name(DAG_ID))
    return bool(
        get_auth_manager().is_authorized_dag(method=method, access_entity=entity, details=details, user=caller.user)
    )


async def require(caller: Caller, action: Action) -> None:
    """Raise HTTPException 403 unless Airflow allows a caller an action."""
    if not await run_in_threadpool(may, caller, action):
        raise HTTPException(status.HTTP_403_FORBIDDEN, "403 Forbidden")


async def page_reader(caller: Annotated[Caller, Depends(page_caller)]) -> Caller:
    """Return who calls the page; only if that user may read runs of the DAG. Raises HTTPException 401, 403."""
    await require(caller, Action.READ)
    return caller


async def api_reader(caller: Annotated[Caller, Depends(api_caller)]) -> Caller:
    """Return who calls the API; only if that user may read runs of the DAG. Raises HTTPException 401, 403."""
    await require(caller, Action.READ)
    return caller


PageReader = Annotated[Caller, Depends(page_reader)]
ApiReader = Annotated[Caller, Depends(api_reader)]


def may_see(ctx: Context, caller: Caller, project_id: int, path: str) -> bool:
    """Return whether the setting `access` lets a caller export and see a project. path: empty if unknown."""
    access = Access.parse(ctx.settings.access)
    return access is None or access.may(caller.name, caller.teams, project_id, path)
