"""Export many projects: each night, for the days of a backfill, or when somebody triggers it.

**choose_projects** checks the run's conf and finds the projects: ids, paths, groups with their subgroups, or all that
were active. **export_project** is mapped over them; each triggers a run of the DAG `export_project`, or follows the one
that is running. **end_exports** waits for all of these runs, in the triggerer, and sums up. A project that fails does
not affect the others, but makes this run fail at its end, with the name of the project and its error.

If a run has failed, clear all its tasks, or backfill its day with *reprocess failed*: only the projects that failed are
exported again. With the param `again` = `all`, all of them are.

Without `PROJECT_EXPORT_SCHEDULE`, the DAG only runs when it is backfilled or triggered. In the mode *full*, which
exports the present, a backfill of several days exports once, for its newest day; the others say so.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from project_export.airflow.fleet import ChooseProjects, EndExports, ExportProject
from project_export.airflow.form import fleet_params
from project_export.airflow.timetable import timetable

with DAG(
    dag_id="export_projects",
    dag_display_name="Export many projects",
    description="Many projects, on a schedule or backfilled: one run of export_project for each",
    doc_md=__doc__,
    schedule=timetable(),
    catchup=False,
    # A paused DAG never starts the runs of a backfill.
    is_paused_upon_creation=False,
    params=fleet_params(),
    tags=["project_export"],
    default_args={"retries": 3, "retry_delay": timedelta(seconds=10)},
):
    choose = ChooseProjects(task_id="choose_projects")

    export = ExportProject.partial(
        task_id="export_project",
        map_index_template="{{ did | default(task.project['title']) }}",
    ).expand(project=choose.output)

    end = EndExports(
        task_id="end_exports",
        projects=choose.output,
        chooser=choose.task_id,
        trigger_rule="all_done",
    )

    choose >> export >> end
