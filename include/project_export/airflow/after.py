"""The last task of an export: notice or upload, and the Asset event that the archive is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from airflow.sdk import Asset, BaseOperator

ARCHIVE = Asset("project_export_archive")
"""Each published archive is an event of it, with uri, bytes, sha256, records and project_id in its extra."""


class AfterExport(BaseOperator):
    """Do what was asked for after the export, finish the job and say that the archive is there.

    units: what create returned.
    """

    template_fields: Sequence[str] = ("units",)

    def __init__(self, *, units: Any, **kwargs: Any) -> None:
        super().__init__(outlets=[ARCHIVE], **kwargs)
        self.units = units

    def execute(self, context: Any) -> dict[str, Any]:
        """Return the archive's URI, size, checksum and number of records. A failed upload fails the job."""
        from project_export.airflow.context import for_good, task_context
        from project_export.steps import after_export

        ti, params = context["ti"], context["params"]
        with for_good():
            archive = after_export(
                task_context(),
                self.units[0]["job_id"],
                upload_url=params.get("upload_url"),
                last_try=ti.try_number > ti.max_tries,
            )
        context["outlet_events"][ARCHIVE].extra = {**asdict(archive), "project_id": params["project_id"]}
        return asdict(archive)
