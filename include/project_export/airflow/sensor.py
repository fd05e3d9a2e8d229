"""The waiter: a reschedule-mode sensor over the relation_export table."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator
from airflow.sdk.exceptions import AirflowFailException

if TYPE_CHECKING:
    from project_export.ledger import Progress, Wait
    from project_export.steps import Context

ENDED_TASKS = ("success", "failed", "upstream_failed", "skipped", "removed")
_FIRST_LISTEN_SECONDS = 15.0
_LISTEN_SECONDS = 3.0
_UNIT_SECONDS = 0.5
_LOOK_SECONDS = 1.0


class WaitRelationExports(BaseSensorOperator):
    """Wait until no relation is pending, and say how far the job is at each look.

    Each poke listens to the ledger for a while before it gives its slot back, the first one longest: a small export is
    merged within a second of its last relation. units: what create returned, None when it failed: then it is over.
    exporter: id of the mapped task whose instances are the units.
    """

    template_fields: Sequence[str] = ("units",)

    def __init__(self, *, units: Any, exporter: str, **kwargs: Any) -> None:
        super().__init__(mode="reschedule", **kwargs)
        self.units = units
        self.exporter = exporter

    def poke(self, context: Any) -> bool:
        """Return whether the waiting is over. Raises AirflowFailException with every relation that failed."""
        from project_export.airflow.context import task_context
        from project_export.errors import RelationsFailed
        from project_export.steps import watch

        if not self.units:
            self.log.info("this run has no job of its own, so there is nothing to wait for")
            return True
        ctx = task_context()
        job_id = self.units[0]["job_id"]
        first = not context.get("task_reschedule_count")
        deadline = time.monotonic() + (_FIRST_LISTEN_SECONDS if first else _LISTEN_SECONDS)
        with ctx.ledger.listening(job_id) as wait:
            while True:
                progress, over = watch(ctx, job_id, self._ended(context["ti"]))
                if over:
                    break
                left = deadline - time.monotonic()
                if left <= 0:
                    self._name_pool(context["ti"])
                    return False
                # The ledger does not announce the end of a unit, which is all that is waited for after a failure.
                self._listen(ctx, job_id, progress, wait, left if progress.pending else min(left, _UNIT_SECONDS))
        failures = ctx.ledger.failures(job_id)
        if failures:
            raise AirflowFailException(str(RelationsFailed(failures)))
        return True

    @staticmethod
    def _listen(ctx: Context, job_id: int, seen: Progress, wait: Wait, seconds: float) -> None:
        """Wait until the job is worth another look: its last row, a failure, or any change a second after this one.

        Each look asks Airflow for all units; one for each relation would cost as much as exporting a small project.
        """
        begun = time.monotonic()
        while (left := begun + seconds - time.monotonic()) > 0 and wait(left):
            now = ctx.ledger.progress(job_id)
            if not now.pending or now.failed > seen.failed or time.monotonic() - begun >= _LOOK_SECONDS:
                break

    def _name_pool(self, ti: Any) -> None:
        """Say so when no unit has got a slot: a task cannot ask whether its pool exists, and Airflow does not tell."""
        if set(task_states(ti, self.exporter).values()) == {"scheduled"}:
            pool = self.dag.get_task(self.exporter).pool
            self.log.warning(
                "no unit has got a slot of the pool %r yet. If no other export runs, see that the pool exists and has "
                "slots: airflow pools list",
                pool,
            )

    def _ended(self, ti: Any) -> dict[int, str]:
        """Return the units whose task is over for good; one that is retried or waits for a slot is not."""
        ended = {}
        for name, state in task_states(ti, self.exporter).items():
            index = name.removeprefix(self.exporter).removeprefix("_")
            if state in ENDED_TASKS and index.isdigit():
                ended[int(index)] = state
        return ended


def task_states(ti: Any, task_id: str) -> dict[str, str | None]:
    """Return the state of a task of this run by its name, of a mapped one's instances by `task_id_index`."""
    states = ti.get_task_states(dag_id=ti.dag_id, task_ids=[task_id], run_ids=[ti.run_id])
    return {name: state and str(state) for name, state in states.get(ti.run_id, {}).items()}
