"""Retention as a task."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from airflow.sdk import BaseOperator


class PruneExports(BaseOperator):
    """Prune the ledger and the store; the param dry_run only asks what would go."""

    def execute(self, context: Any) -> dict[str, int]:
        """Return how many jobs were cancelled, how many jobs, archives and other files removed, and their bytes."""
        from project_export.airflow.context import for_good, task_context
        from project_export.airflow.runs import run_alive
        from project_export.steps import prune

        with for_good():
            ctx = task_context()
            ctx.ledger.check()
            pruned = prune(ctx, lambda name: run_alive(context["ti"], name), dry_run=context["params"]["dry_run"])
        return asdict(pruned)
