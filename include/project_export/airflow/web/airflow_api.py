"""Airflow's own REST API, called in this process as the caller.

So Airflow checks its own permissions and params, records the caller as the user who triggered a run, and writes its
audit log.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
from airflow.api_fastapi.app import get_auth_manager
from fastapi import Request

from project_export.airflow.web.access import DAG_ID
from project_export.airflow.web.callers import Caller
from project_export.airflow.web.lazy import AIRFLOW

_TOKEN_SECONDS = 60
_SECONDS = 60


class AirflowRefused(Exception):
    """Airflow refused a request. status: of its response; detail: what it says."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"Airflow refused it with {status}: {detail}")
        self.status = status
        self.detail = detail


class AirflowApi:
    """The REST API of the Airflow that a request came through, for one caller."""

    def __init__(self, request: Request, caller: Caller) -> None:
        self._app = request.scope[AIRFLOW]
        self._caller = caller

    async def trigger(self, run_id: str, conf: Mapping[str, Any]) -> None:
        """Trigger a run of the DAG. Raises AirflowRefused."""
        await self._call("POST", "dagRuns", {"dag_run_id": run_id, "logical_date": None, "conf": dict(conf)})

    async def retry(self, run_id: str) -> int:
        """Clear the failed tasks of a run; return how many. Raises AirflowRefused."""
        body = {"dry_run": False, "dag_run_id": run_id, "only_failed": True}
        return int((await self._call("POST", "clearTaskInstances", body))["total_entries"])

    async def cancel(self, run_id: str) -> None:
        """Mark a run failed, which ends its tasks. Raises AirflowRefused."""
        await self._call("PATCH", f"dagRuns/{run_id}", {"state": "failed"})

    async def run(self, run_id: str) -> Mapping[str, Any]:
        """Return a run as Airflow describes it. Raises AirflowRefused."""
        return await self._call("GET", f"dagRuns/{run_id}")

    async def tasks(self, run_id: str) -> list[Mapping[str, Any]]:
        """Return the task instances of a run as Airflow describes them. Raises AirflowRefused."""
        found: list[Mapping[str, Any]] = []
        while True:
            page = await self._call("GET", f"dagRuns/{run_id}/taskInstances?limit=100&offset={len(found)}")
            found += page["task_instances"]
            if len(found) >= page["total_entries"] or not page["task_instances"]:
                return found

    async def log(self, run_id: str, task_id: str, map_index: int, try_number: int) -> list[Mapping[str, Any]]:
        """Return the lines of a task's log: event, timestamp, level and error_detail of each. Raises AirflowRefused."""
        where = f"dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}"
        return list((await self._call("GET", f"{where}?map_index={map_index}&full_content=true"))["content"])

    async def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        token = get_auth_manager().generate_jwt(self._caller.user, expiration_time_in_seconds=_TOKEN_SECONDS)
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        transport = httpx.ASGITransport(app=self._app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://airflow", timeout=_SECONDS) as http:
            answer = await http.request(method, f"/api/v2/dags/{DAG_ID}/{path}", json=body, headers=headers)
        if not answer.is_success:
            raise AirflowRefused(answer.status_code, _detail(answer))
        content: dict[str, Any] = answer.json()
        return content


def _detail(answer: httpx.Response) -> str:
    try:
        said = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        said = answer.text[:500]
    return said if isinstance(said, str) else str(said)
