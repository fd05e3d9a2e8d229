"""The steps' context in the API server: the same settings, connections and Variables as in a task."""

from __future__ import annotations

import threading
import time

from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.variable import Variable
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState, State
from sqlalchemy import or_, select

from project_export.airflow.context import VARIABLE_PREFIX, context_over
from project_export.steps import Context

_KEPT_SECONDS = 30.0
_WAITING = ("hold_snapshot", "end_export")
_lock = threading.Lock()
_kept: tuple[float, Context] | None = None


def context() -> Context:
    """Return the context; a change of connections or Variables takes effect within 30 s. Raises SettingRefused."""
    global _kept
    with _lock:
        if _kept is None or time.monotonic() - _kept[0] > _KEPT_SECONDS:
            old, _kept = _kept, (time.monotonic(), context_over(_variables()))
            if old is not None:
                old[1].ledger.close()  # requests that use it open new connections
        return _kept[1]


def run_alive(name: str) -> bool:
    """Return whether the run that the ledger calls `name` may still be working; a deleted run is not."""
    dag_id, _, run_id = name.partition("/")
    if not run_id:
        return True  # not a run of Airflow: another process may be working on it
    with create_session() as session:
        state = session.scalar(select(DagRun.state).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))
    return state in (DagRunState.QUEUED, DagRunState.RUNNING)


def at_work(name: str) -> bool:
    """Return whether a task of the run that the ledger calls `name` works on its job, or is about to.

    The tasks in `_WAITING` do not count: they wait for as long as a failed job can be resumed, however idle it is.
    """
    dag_id, _, run_id = name.partition("/")
    task = TaskInstance
    of_run = (task.dag_id == dag_id, task.run_id == run_id, task.task_id.not_in(_WAITING))
    idle = task.state.in_([state.value for state in State.finished])
    with create_session() as session:
        found = session.scalar(select(task.task_id).where(*of_run, or_(task.state.is_(None), ~idle)).limit(1))
    return found is not None


def _variables() -> dict[str, str]:
    with create_session() as session:
        found = session.scalars(select(Variable).where(Variable.key.startswith(VARIABLE_PREFIX, autoescape=True)))
        return {one.key.removeprefix(VARIABLE_PREFIX): str(one.val or "") for one in found}
