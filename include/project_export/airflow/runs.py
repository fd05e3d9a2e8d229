"""Whether the run of a job may still be working, asked of Airflow from inside a task."""

from __future__ import annotations

from typing import Any

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
