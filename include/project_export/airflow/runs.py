"""What a task asks Airflow about its own run and about other runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from project_export.steps import Tasks

ENDED_TASKS = ("success", "failed", "upstream_failed", "skipped", "removed")
_WITHOUT_SLOT = "scheduled"
ENDED_RUNS = ("success", "failed")
_FAR = datetime(9999, 1, 1, tzinfo=timezone.utc)
_NOT_FOUND = 404


def run_alive(ti: Any, name: str) -> bool:
    """Return whether the run that the ledger calls `name` may still be working; a deleted run is not.

    Raises AirflowRuntimeError when Airflow does not answer.
    """
    dag_id, _, run_id = name.partition("/")
    if not run_id:
        return True  # not a run of Airflow: another process may be working on it
    return run_state(ti, dag_id, run_id) not in (None, *ENDED_RUNS)


def run_state(ti: Any, dag_id: str, run_id: str) -> str | None:
    """Return the state of a run, None if there is no such run. Raises AirflowRuntimeError."""
    from airflow.sdk.exceptions import AirflowRuntimeError

    try:
        return str.__str__(ti.get_dagrun_state(dag_id=dag_id, run_id=run_id))
    except AirflowRuntimeError as error:
        if (error.error.detail or {}).get("status_code") == _NOT_FOUND:
            return None
        raise


def trigger_run(dag_id: str, run_id: str, conf: Mapping[str, Any], *, clear: bool = False) -> None:
    """Trigger a run without a logical date; a run with this id that exists already is kept as it is.

    clear: clear that run instead, whatever its state, without changing its conf. Airflow's own operator for this can
    only do one or the other, and fails if the run exists. Raises AirflowRuntimeError.
    """
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import TriggerDagRun

    wanted = TriggerDagRun(dag_id=dag_id, run_id=run_id, conf=dict(conf), logical_date=None, reset_dag_run=clear)
    task_runner.SUPERVISOR_COMMS.send(wanted)


def later_runs(dag_id: str, date: datetime, states: Sequence[str], most: int) -> Iterator[Any]:
    """Yield the runs of a DAG in these states whose logical date is later, for each state the latest first.

    most: the number of runs to look at for each state. Raises AirflowRuntimeError.
    """
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import GetPreviousDagRun

    for state in states:
        before = _FAR
        for _ in range(most):
            asked = GetPreviousDagRun(dag_id=dag_id, logical_date=before, state=state)
            answer: Any = task_runner.SUPERVISOR_COMMS.send(asked)
            run = answer.dag_run
            if run is None or run.logical_date <= date:
                break
            yield run
            before = run.logical_date


def requester(run: Any) -> str:
    """Return the name of the user who triggered a run, or the run's type if nobody did."""
    # The type is a member of an Enum, which would be formatted and stored as its name.
    return run.triggering_user_name or str.__str__(run.run_type)


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
