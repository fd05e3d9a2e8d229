"""A small client of Airflow's REST API, used as an external script would use it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import httpx


class RestError(RuntimeError):
    """Airflow's API refused a request or did not answer; the message has the request and the response."""


class Rest:
    """Airflow's REST API for one user.

    url: of the API server, e.g. http://127.0.0.1:8080. The token is fetched on first use.
    """

    def __init__(self, url: str, username: str, password: str) -> None:
        self.url = url
        self._credentials = {"username": username, "password": password}
        self._http = httpx.Client(base_url=url, timeout=30, trust_env=False)
        self._token = ""

    def health(self) -> dict[str, str]:
        """Return the status of each component; {} if the API server does not answer."""
        try:
            answer = self._http.get("/api/v2/monitor/health", timeout=5)
        except httpx.TransportError:
            return {}
        if answer.status_code != httpx.codes.OK:
            return {}
        return {name: str((info or {}).get("status")) for name, info in answer.json().items()}

    def make_pool(self, name: str, slots: int, description: str) -> None:
        """Create the pool, unless it exists; then keep its size, which somebody may have chosen."""
        body = {"name": name, "slots": slots, "description": description, "include_deferred": False}
        answer = self._send("POST", "/pools", body)
        if answer.status_code != httpx.codes.CONFLICT:
            self._checked(answer)

    def dag(self, dag_id: str) -> dict[str, Any] | None:
        """Return the DAG; None if Airflow does not know it."""
        answer = self._send("GET", f"/dags/{dag_id}")
        return None if answer.status_code == httpx.codes.NOT_FOUND else self._checked(answer)

    def import_errors(self) -> list[str]:
        """Return the import errors of DAG files: file and traceback."""
        errors = self.call("GET", "/importErrors")["import_errors"]
        return [f"{error['filename']}: {error['stack_trace']}" for error in errors]

    def trigger(self, dag_id: str, conf: Mapping[str, Any]) -> str:
        """Trigger a run and return its id; raise RestError with Airflow's reason."""
        body = {"logical_date": None, "conf": dict(conf)}
        return str(self.call("POST", f"/dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return queued, running, success or failed."""
        return str(self.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}")["state"])

    def unfinished_runs(self, dag_id: str) -> list[str]:
        """Return the ids of queued and running runs."""
        runs = self.call("GET", f"/dags/{dag_id}/dagRuns?state=queued&state=running&limit=100")
        return [str(run["dag_run_id"]) for run in runs["dag_runs"]]

    def fail_run(self, dag_id: str, run_id: str) -> None:
        """Mark a run failed, which ends its tasks."""
        self.call("PATCH", f"/dags/{dag_id}/dagRuns/{run_id}", {"state": "failed"})

    def task_states(self, dag_id: str, run_id: str) -> dict[str, str]:
        """Return the state of each task instance by task id; mapped instances are named `task_id[index]`."""
        return {_label(instance): str(instance["state"]) for instance in self._instances(dag_id, run_id)}

    def task_errors(self, dag_id: str, run_id: str) -> dict[str, str]:
        """Return the exceptions in the logs of the last tries of failed task instances, by the same names."""
        errors = {}
        for instance in self._instances(dag_id, run_id):
            if instance["state"] == "failed":
                task = f"taskInstances/{instance['task_id']}/logs/{instance['try_number']}"
                where = f"/dags/{dag_id}/dagRuns/{run_id}/{task}?map_index={instance['map_index']}"
                lines = self.call("GET", where)["content"]
                # The first of each is the exception itself; its causes follow.
                raised = [line["error_detail"][0]["exc_value"] for line in lines if line.get("error_detail")]
                errors[_label(instance)] = "\n".join(raised) or f"its log has no exception: {where}"
        return errors

    def wait_for_run(self, dag_id: str, run_id: str, seconds: float) -> str:
        """Wait for the run and return success or failed; raise RestError with the tasks' states after `seconds`."""
        deadline = time.monotonic() + seconds
        while (state := self.run_state(dag_id, run_id)) not in ("success", "failed"):
            if time.monotonic() > deadline:
                tasks = self.task_states(dag_id, run_id)
                raise RestError(f"The run {run_id} of {dag_id} is still {state} after {seconds:g} s: {tasks}")
            time.sleep(0.5)
        return state

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Send any request below /api/v2 and return the response; raise RestError with status and reason."""
        return self._checked(self._send(method, path, body))

    def _instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        answer = self.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances?limit=1000")
        instances: list[dict[str, Any]] = answer["task_instances"]
        return instances

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        try:
            if not self._token:
                answer = self._http.post("/auth/token", json=self._credentials)
                self._token = self._checked(answer)["access_token"]
            headers = {"Authorization": f"Bearer {self._token}", "Accept": "application/json"}
            return self._http.request(method, f"/api/v2{path}", json=body, headers=headers)
        except httpx.TransportError as error:
            raise RestError(f"{method} {self.url}/api/v2{path}: {error!r}") from error

    def _checked(self, answer: httpx.Response) -> dict[str, Any]:
        if not answer.is_success:
            raise RestError(f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text}")
        content: dict[str, Any] = answer.json() if answer.content else {}  # the response to a DELETE is empty
        return content


def _label(instance: Mapping[str, Any]) -> str:
    index = instance["map_index"]
    return str(instance["task_id"]) if index < 0 else f"{instance['task_id']}[{index}]"
