"""The waiter: a reschedule-mode sensor that asks Airflow about the workers' tasks and lets `steps` judge the job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk import BaseSensorOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, DownstreamTasksSkipped

from project_export.airflow.runs import worker_tasks


class WaitRelationExports(BaseSensorOperator):
    """Wait until no relation is pending, and log the progress of the job.

    units: what create returned, None when it failed. exporter: id of the mapped task whose instances are the workers.
    """

    template_fields: Sequence[str] = ("units",)

    def __init__(self, *, units: Any, exporter: str, **kwargs: Any) -> None:
        super().__init__(mode="reschedule", **kwargs)
        self.units = units
        self.exporter = exporter

    def poke(self, context: Any) -> bool:
        """Return whether the waiting is over.

        Raises AirflowFailException with every relation that failed, AirflowSkipException when there is no job, and
        DownstreamTasksSkipped with the workers that never got a slot: the merge, which reports this, starts after them.
        """
        from project_export.airflow.context import task_context
        from project_export.errors import RelationsFailed
        from project_export.steps import wait_for_workers

        if not self.units:
            raise AirflowSkipException("this run has no job of its own, so there is nothing to wait for")
        pool = self.dag.get_task(self.exporter).pool
        try:
            waited = wait_for_workers(
                task_context(self.units[0]["source"]),
                self.units[0]["job_id"],
                lambda: worker_tasks(context["ti"], self.exporter),
                workers=len(self.units),
                first=not context.get("task_reschedule_count"),
                pool=pool,
                remedy=f'check that the pool exists and has slots: airflow pools set {pool} 4 "exports"',
            )
        except RelationsFailed as error:
            raise AirflowFailException(str(error)) from error
        if waited.starved:
            tasks = [(self.exporter, number) for number in waited.starved]
            raise DownstreamTasksSkipped(tasks=tasks)  # type: ignore[no-untyped-call]
        return waited.over
