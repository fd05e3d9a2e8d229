"""Remove what is past its time.

Exports whose run was cancelled or deleted are failed, and told as cancelled. Archives go after
`PROJECT_EXPORT_ARCHIVE_HOURS`, jobs with their parts and rows after `PROJECT_EXPORT_JOB_DAYS`, and so do files that
nothing refers to. The last archive of a project that is being exported anew stays.

To see what would go, trigger it with *dry run*; the log names each file.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param

from project_export.airflow.prune import PruneExports

with DAG(
    dag_id="prune_exports",
    dag_display_name="Prune exports",
    description="Remove archives, parts and rows past their time; end jobs whose run is gone",
    doc_md=__doc__,
    schedule="@hourly",
    # It also ends and tells exports whose run is gone, which nobody would miss until then.
    is_paused_upon_creation=False,
    max_active_runs=1,
    params={
        "dry_run": Param(
            False, type="boolean", title="Dry run", description="Change nothing, only say what would be removed."
        )
    },
    tags=["project_export"],
    default_args={"retries": 1, "retry_delay": timedelta(minutes=1)},
):
    PruneExports(task_id="prune_exports")
