"""What a task asks Airflow about its run, and about others."""

from __future__ import annotations

from typing import Any

ENDED_TASKS = ("success", "failed", "upstream_failed", "skipped", "removed")
_ENDED = ("success", "failed")
_NOT_FOUND = 404


def run_alive(ti: Any, name: str) -> bool:
    """Say whether the run that the ledger calls `name` may still be working; one that was deleted is not.

    Raises AirflowRuntimeError when Airflow does not answer: then nobody knows.
    """
    from airflow.sdk.exceptions import AirflowRuntimeError

    dag_id, _, run_id = name.partition("/")
    if not run_id:
        return True  # not an Airflow run: another process may work on it
    try:
        return ti.get_dagrun_state(dag_id=dag_id, run_id=run_id) not in _ENDED
    except AirflowRuntimeError as error:
        if (error.error.detail or {}).get("status_code") == _NOT_FOUND:
            return False
        raise


def task_states(ti: Any, *task_ids: str) -> dict[str, str | None]:
    """Return the states of tasks of this run by their names, of a mapped one's instances by `task_id_index`."""
    states = ti.get_task_states(dag_id=ti.dag_id, task_ids=list(task_ids), run_ids=[ti.run_id])
    return {name: state and str(state) for name, state in states.get(ti.run_id, {}).items()}


def in_process() -> bool:
    """Say whether this is `airflow dags test`, which runs one task after the other, and a trigger to its end."""
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.supervisor import InProcessSupervisorComms

    return isinstance(getattr(task_runner, "SUPERVISOR_COMMS", None), InProcessSupervisorComms)
