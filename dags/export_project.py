"""Export one project into the archive that GitLab imports.

**create_relation_exports** checks the request and writes one job and one row per relation to the ledger.
**export_relation** is mapped over workers; each claims relations, streams them out of PostgreSQL and marks them
finished. **hold_snapshot** holds one snapshot of the database for all of them. **wait_relation_exports** watches the
ledger and takes care of relations that are stuck. **merge_relation_exports** assembles the parts into `project.tar.gz`
and publishes it in one step, or raises and names every relation that failed. **after_export** notifies people or
uploads the archive. **end_export** alone decides the run's state: it fails unless the archive is published.

If a run has failed, clear its failed tasks. With `consistency=relation`, only what is missing is exported. With
`consistency=project`, that holds while the snapshot is kept; the log of the merge says until when. After that, all
relations are read again, in parallel, from one new snapshot.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from project_export.airflow.after import AfterExport
from project_export.airflow.end import EndExport
from project_export.airflow.form import export_params, setting
from project_export.airflow.operators import CreateRelationExports, ExportRelation, HoldSnapshot, MergeRelationExports
from project_export.airflow.sensor import WaitRelationExports

with DAG(
    dag_id="export_project",
    dag_display_name="Export a project",
    description="One project out of PostgreSQL into the archive that GitLab imports",
    doc_md=__doc__,
    schedule=None,
    is_paused_upon_creation=False,
    # The ledger decides whose turn it is, so Airflow must start the runs.
    max_active_runs=int(setting("max_active_runs", "1000")),
    params=export_params(),
    tags=["project_export"],
    default_args={"retries": 3, "retry_delay": timedelta(seconds=10)},
):
    # Below all tasks of exports that have begun: hundreds of runs may be asking for their turn.
    create = CreateRelationExports(task_id="create_relation_exports", priority_weight=1, weight_rule="absolute")

    hold = HoldSnapshot(
        task_id="hold_snapshot",
        units=create.output,
        # Before any unit: they wait for its snapshot, and may hold all slots meanwhile.
        priority_weight=1000,
    )

    export = ExportRelation.partial(
        task_id="export_relation",
        pool=setting("pool", "project_export"),
        map_index_template="{{ did | default(task.unit['title']) }}",
        holder=hold.task_id,
    ).expand(unit=create.output)

    wait = WaitRelationExports(
        task_id="wait_relation_exports",
        units=create.output,
        exporter=export.task_id,
        trigger_rule="one_done",
        # Under 10 s Airflow 3.3 often loses a rescheduled sensor (apache/airflow#71172); retries cure the rest.
        poke_interval=10,
        timeout=timedelta(days=1),
        execution_timeout=timedelta(seconds=60),
        retry_delay=timedelta(seconds=5),
        priority_weight=100,
    )

    merge = MergeRelationExports(
        task_id="merge_relation_exports",
        units=create.output,
        trigger_rule="all_done",
        priority_weight=100,
    )

    after = AfterExport(task_id="after_export", units=create.output)

    end = EndExport(
        task_id="end_export",
        units=create.output,
        creator=create.task_id,
        after=after.task_id,
        trigger_rule="all_done",
    )

    create >> [hold, export]
    [create, export] >> wait
    [export, wait] >> merge >> after
    [hold, after] >> end
