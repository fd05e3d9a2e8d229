"""The trigger that waits for many runs at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

log = logging.getLogger(__name__)

OPEN = ("queued", "running")
_AT_ONCE = 50
"""Run ids in one request: they are in its URL, for which servers have limits."""


class RunsEnded(BaseTrigger):
    """Waits until none of these runs of a DAG is queued or running; a deleted run is neither.

    poll_seconds: the pause between two looks. A triggerer that restarts runs it again, which changes nothing.
    """

    def __init__(self, dag_id: str, run_ids: list[str], poll_seconds: float = 5) -> None:
        super().__init__()
        self.dag_id = dag_id
        self.run_ids = run_ids
        self.poll_seconds = poll_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what the triggerer needs to make this trigger."""
        arguments = {"dag_id": self.dag_id, "run_ids": self.run_ids, "poll_seconds": self.poll_seconds}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event when all runs have ended. While Airflow does not answer, it waits."""
        from airflow.sdk.exceptions import AirflowRuntimeError

        pending = self.run_ids
        while pending:
            try:
                pending = await asyncio.to_thread(still_open, self.dag_id, pending)
            except AirflowRuntimeError as error:
                log.warning("Airflow does not say how far %d run(s) are: %s", len(pending), error)
            if pending:
                await asyncio.sleep(self.poll_seconds)
        yield TriggerEvent({"ended": len(self.run_ids)})


def still_open(dag_id: str, run_ids: Sequence[str]) -> list[str]:
    """Return those of the runs that may not have ended yet, in blocks: a block is left out when all of it has ended.

    For a task and for the triggerer. Raises AirflowRuntimeError.
    """
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    return [
        run_id
        for block in _blocks(run_ids)
        if RuntimeTaskInstance.get_dr_count(dag_id=dag_id, run_ids=block, states=list(OPEN))
        for run_id in block
    ]


def _blocks(run_ids: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(run_ids), _AT_ONCE):
        yield list(run_ids[start : start + _AT_ONCE])
