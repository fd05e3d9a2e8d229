"""Remove what has expired.

Exports whose run was cancelled or deleted fail, and are reported as cancelled. Archives are removed after
`PROJECT_EXPORT_ARCHIVE_HOURS`, jobs with their parts and rows after `PROJECT_EXPORT_JOB_DAYS`, and so are unreferenced
files. The latest archive of a project that is being exported again stays.

To see what would be removed, trigger it with *dry run*; the log names each file.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param

from project_export.airflow.prune import PruneExports

with DAG(
    dag_id="prune_exports",
    dag_display_name="Prune exports",
    description="Remove expired archives, parts and rows; fail jobs whose run is gone",
    doc_md=__doc__,
    schedule="@hourly",
    # It also fails and reports exports whose run is gone; until then, they go unnoticed.
    is_paused_upon_creation=False,
    max_active_runs=1,
    params={
        "dry_run": Param(
            False, type="boolean", title="Dry run", description="Change nothing, only report what would be removed."
        )
    },
    tags=["project_export"],
    default_args={"retries": 1, "retry_delay": timedelta(minutes=1)},
):
    PruneExports(task_id="prune_exports")
