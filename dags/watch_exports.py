"""Look at all exports every five minutes.

Exports whose run was cancelled or deleted fail, and are reported as cancelled. Exports past
`PROJECT_EXPORT_DEADLINE_SECONDS` are reported as late, once; they go on. The gauges of the metrics are set: jobs that
are queued, running and late, and the age of the oldest.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from project_export.airflow.tend import WatchExports

with DAG(
    dag_id="watch_exports",
    dag_display_name="Watch exports",
    description="Report late exports, set the gauges of the metrics; fail jobs whose run is gone",
    doc_md=__doc__,
    schedule="*/5 * * * *",
    catchup=False,
    is_paused_upon_creation=False,
    max_active_runs=1,
    tags=["project_export"],
    default_args={"retries": 1, "retry_delay": timedelta(minutes=1)},
):
    WatchExports(task_id="watch_exports")
