"""The last task of an export: notice or upload, and the Asset event that the archive is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from airflow.sdk import Asset, BaseOperator

ARCHIVE = Asset("project_export_archive")
"""Each published archive is an event of it; its extra is what `steps.event` returns."""

PROJECT_ARCHIVE = Asset("project_export_project_archive")
"""The same events by project: the partition key is SOURCE/PROJECT_ID, so that a DAG can be scheduled on one project.

An asset of its own, since Airflow 3.3 shows an event that has a key only to DAGs that are scheduled by keys.
"""


class AfterExport(BaseOperator):
    """Do what was asked for after the export, finish the job and say that the archive is there.

    units: what create returned.
    """

    template_fields: Sequence[str] = ("units",)

    def __init__(self, *, units: Any, **kwargs: Any) -> None:
        super().__init__(outlets=[ARCHIVE, PROJECT_ARCHIVE], **kwargs)
        self.units = units

    def execute(self, context: Any) -> dict[str, Any]:
        """Return the archive's URI, size, checksum and number of records. A failed upload fails the job."""
        from project_export.airflow.context import for_good, task_context
        from project_export.steps import after_export, event

        ti, params = context["ti"], context["params"]
        with for_good():
            ctx = task_context()
            archive = after_export(
                ctx,
                self.units[0]["job_id"],
                upload_url=params.get("upload_url"),
                last_try=ti.try_number > ti.max_tries,
            )
            told = event(ctx, self.units[0]["job_id"])
        events = context["outlet_events"]
        events[ARCHIVE].extra = events[PROJECT_ARCHIVE].extra = told
        events[PROJECT_ARCHIVE].add_partitions(f"{told['source']}/{told['project_id']}")
        return asdict(archive)
