"""What has to be looked at every few minutes, as a task."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from airflow.sdk import BaseOperator


class WatchExports(BaseOperator):
    """Cancel jobs whose run is gone, notify people of late ones, and set the gauges."""

    def execute(self, context: Any) -> dict[str, int]:
        """Return the numbers of jobs that are queued, running and late, and of those cancelled."""
        from project_export.airflow.context import for_good, task_context
        from project_export.airflow.runs import run_alive
        from project_export.steps import tend

        with for_good():
            ctx = task_context()
            ctx.ledger.check()
            return asdict(tend(ctx, lambda name: run_alive(context["ti"], name)))
