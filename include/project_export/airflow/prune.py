"""Retention as a task."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from airflow.sdk import BaseOperator


class PruneExports(BaseOperator):
    """Prune the ledger and the store; with the param dry_run, only report what would be removed."""

    def execute(self, context: Any) -> dict[str, int]:
        """Return the numbers of jobs cancelled and of jobs, archives and other files removed, and the bytes freed."""
        from project_export.airflow.context import for_good, task_context
        from project_export.airflow.runs import run_alive
        from project_export.steps import prune

        with for_good():
            ctx = task_context()
            ctx.ledger.check()
            pruned = prune(ctx, lambda name: run_alive(context["ti"], name), dry_run=context["params"]["dry_run"])
        return asdict(pruned)
