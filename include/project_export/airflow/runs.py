"""What a task asks Airflow about its own run and about other runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from project_export.steps import Tasks

ENDED_TASKS = ("success", "failed", "upstream_failed", "skipped", "removed")
_WITHOUT_SLOT = "scheduled"
_ENDED = ("success", "failed")
_NOT_FOUND = 404


def run_alive(ti: Any, name: str) -> bool:
    """Return whether the run that the ledger calls `name` may still be working; a deleted run is not.

    Raises AirflowRuntimeError when Airflow does not answer.
    """
    from airflow.sdk.exceptions import AirflowRuntimeError

    dag_id, _, run_id = name.partition("/")
    if not run_id:
        return True  # not a run of Airflow: another process may be working on it
    try:
        return ti.get_dagrun_state(dag_id=dag_id, run_id=run_id) not in _ENDED
    except AirflowRuntimeError as error:
        if (error.error.detail or {}).get("status_code") == _NOT_FOUND:
            return False
        raise


def task_states(ti: Any, *task_ids: str) -> dict[str, str | None]:
    """Return the states of tasks of this run by name; the instances of a mapped task are named `task_id_index`."""
    states = ti.get_task_states(dag_id=ti.dag_id, task_ids=list(task_ids), run_ids=[ti.run_id])
    return {name: state and str(state) for name, state in states.get(ti.run_id, {}).items()}


def worker_tasks(ti: Any, task_id: str) -> Tasks:
    """Return the tasks of this run's workers, which are the mapped instances of `task_id`.

    A task that is retried or waits for a slot has not ended. A task that is not expanded yet has no workers.
    """
    from project_export.steps import Tasks

    named = {name.removeprefix(f"{task_id}_"): state for name, state in task_states(ti, task_id).items()}
    workers = {int(number): state for number, state in named.items() if number.isdigit()}
    ended = {number: state for number, state in workers.items() if state in ENDED_TASKS}
    waiting = [number for number, state in workers.items() if state == _WITHOUT_SLOT]
    return Tasks(ended, waiting, others=len(workers) - len(ended) - len(waiting))


def in_process() -> bool:
    """Return whether this is `airflow dags test`, which runs the tasks one by one and each trigger to its end."""
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.supervisor import InProcessSupervisorComms

    return isinstance(getattr(task_runner, "SUPERVISOR_COMMS", None), InProcessSupervisorComms)
