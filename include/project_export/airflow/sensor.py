"""The waiter: a reschedule-mode sensor over the relation_export table."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, DownstreamTasksSkipped

from project_export.airflow.runs import ENDED_TASKS, task_states

if TYPE_CHECKING:
    from project_export.ledger import Progress, Wait
    from project_export.steps import Context

_FIRST_LISTEN_SECONDS = 15.0
_LISTEN_SECONDS = 3.0
_MOST_LISTEN_SECONDS = 40.0
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
        """Return whether the waiting is over. Raises AirflowFailException with every relation that failed, and
        AirflowSkipException where there is no job.

        While the ledger does not answer, it waits on, unless no unit is left that could be waited for.
        """
        from project_export.airflow.context import task_context
        from project_export.errors import LedgerBusy

        if not self.units:
            raise AirflowSkipException("this run has no job of its own, so there is nothing to wait for")
        try:
            return self._look(task_context(), context)
        except LedgerBusy as error:
            if len(self._ended(context["ti"])) >= len(self.units):
                raise
            self.log.warning("%s It is looked at again.", error)
            return False

    def _look(self, ctx: Context, context: Any) -> bool:
        from project_export.errors import RelationsFailed
        from project_export.steps import Silence, watch

        job_id = self.units[0]["job_id"]
        first = not context.get("task_reschedule_count")
        begun, silence = time.monotonic(), Silence(ctx.settings)
        with ctx.ledger.watch.listening(job_id) as wait:
            while True:
                progress, over = watch(ctx, job_id, self._ended(context["ti"]), silence)
                if over:
                    break
                seconds = _FIRST_LISTEN_SECONDS if first else _LISTEN_SECONDS
                left = begun + (max(seconds, _MOST_LISTEN_SECONDS) if silence else seconds) - time.monotonic()
                if left <= 0:
                    self._name_pool(ctx, context["ti"])
                    return False
                # What is not announced is looked for: the end of a unit, which is all that is waited for after a
                # failure, and whether a silent one gives a sign.
                soon = silence or not progress.pending
                self._listen(ctx, job_id, progress, wait, min(left, _UNIT_SECONDS) if soon else left)
        failures = ctx.ledger.queries.failures(job_id)
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
            now = ctx.ledger.queries.progress(job_id)
            if not now.pending or now.failed > seen.failed or time.monotonic() - begun >= _LOOK_SECONDS:
                break

    def _name_pool(self, ctx: Context, ti: Any) -> None:
        """Say so when no unit gets a slot; end the export when no other one has got any for long enough.

        A task cannot ask whether its pool exists, and Airflow tells it in the scheduler's log only. The units come
        before this task in Airflow's order, so that it is the pool's slots that they lack.
        """
        from project_export.steps import give_up

        states = task_states(ti, self.exporter)
        waiting = [
            index for name, state in states.items() if state == "scheduled" and (index := self._index(name)) is not None
        ]
        if not waiting or not {"scheduled", *ENDED_TASKS}.issuperset(states.values()):
            return
        pool = self.dag.get_task(self.exporter).pool
        reason = f"no unit has got a slot of the pool {pool!r}"
        hint = f'see that the pool exists and has slots: airflow pools set {pool} 4 "exports"'
        if not give_up(ctx, self.units[0]["job_id"], f"{reason} for {ctx.settings.slot_wait_seconds:.0f} s; {hint}"):
            self.log.warning("%s yet; if no other export runs, %s", reason, hint)
            return
        self.log.error("%s for %.0f s, so the export fails; %s", reason, ctx.settings.slot_wait_seconds, hint)
        # Only when they have ended does the merge begin, which fails the job and tells people.
        raise DownstreamTasksSkipped(tasks=[(self.exporter, unit) for unit in waiting])  # type: ignore[no-untyped-call]

    def _ended(self, ti: Any) -> dict[int, str]:
        """Return the units whose task is over for good; one that is retried or waits for a slot is not."""
        ended = {}
        for name, state in task_states(ti, self.exporter).items():
            index = self._index(name)
            if state in ENDED_TASKS and index is not None:
                ended[index] = state
        return ended

    def _index(self, name: str) -> int | None:
        """Return the unit of an instance, by the name that `task_states` gives it; None if it has none."""
        index = name.removeprefix(self.exporter).removeprefix("_")
        return int(index) if index.isdigit() else None
