"""The task after the merge: it sends the notice or uploads the archive, and emits the Asset events of the archive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from airflow.sdk import Asset, BaseOperator

ARCHIVE = Asset("project_export_archive")
"""Each published archive is an event of this asset; the extra of the event is what `steps.event` returns."""

PROJECT_ARCHIVE = Asset("project_export_project_archive")
"""The same events by project: the partition key is SOURCE/PROJECT_ID, so that one project can trigger a DAG.

It is a second asset because Airflow 3.3 shows events that have a key only to DAGs that are scheduled by key.
"""


class AfterExport(BaseOperator):
    """Do what the request asks for after the export, finish the job and emit the Asset events.

    units: what create returned.
    """

    template_fields: Sequence[str] = ("units",)

    def __init__(self, *, units: Any, **kwargs: Any) -> None:
        super().__init__(outlets=[ARCHIVE, PROJECT_ARCHIVE], **kwargs)
        self.units = units

    def execute(self, context: Any) -> dict[str, Any]:
        """Return the archive's URI, size, checksum and number of records. A failed upload fails the job.

        The events are about the project of the job, whatever the params of the run are by now.
        """
        from project_export.airflow.context import for_good, task_context
        from project_export.steps import after_export, event

        ti, params = context["ti"], context["params"]
        with for_good():
            ctx = task_context(self.units[0]["source"])
            archive = after_export(
                ctx,
                self.units[0]["job_id"],
                upload_url=params.get("upload_url"),
                last_try=ti.try_number > ti.max_tries,
            )
            extra = event(ctx, self.units[0]["job_id"])
        events = context["outlet_events"]
        events[ARCHIVE].extra = events[PROJECT_ARCHIVE].extra = extra
        events[PROJECT_ARCHIVE].add_partitions(f"{extra['source']}/{extra['project_id']}")
        return asdict(archive)
