"""The tasks of an export as operators. A @task has no `on_kill`, so it could not cancel a running query.

The operators import `steps` only when they run, so that parsing a DAG file loads no driver.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowRescheduleException, AirflowSkipException

from project_export.airflow.links import ExportLink
from project_export.airflow.runs import ENDED_TASKS, in_process, requester, task_states
from project_export.airflow.trigger import SnapshotTrigger

if TYPE_CHECKING:
    from project_export.steps import Merger, Worker

ERROR = "error"
"""XCom key of the reason why there is no job (of create, a text) or no archive (of the merge, an object)."""

JOINED = "joined_job_id"
"""XCom key of the id of the job that create joined; there are no units then."""

DID = "did"
"""The variable in a worker's context that holds what it exported, for its name in the grid."""

_WAIT_SECONDS = 15.0
_SHARE, _SLOW_SECONDS = 10, 60.0
"""A task waits at least this many times as long as it took to ask, but no longer than this because of it.

One that asked less than once in two minutes would lose its place.
"""
_BY_HAND = "manual"
_BY_DAG = "operator_triggered"
REQUESTED_BY = "requested_by"
"""Key in the conf of a run that a DAG has triggered: the user who asked that DAG for it."""


class CreateRelationExports(BaseOperator):
    """Create the job and its relation_export rows; return the units, over which the export task is mapped."""

    operator_extra_links = (ExportLink(),)

    def execute(self, context: Any) -> list[dict[str, Any]]:
        """Return one dict per unit: job_id, source, unit, title, alone, shared. The last task gets an error as well.

        While the job waits for its turn, this task is rescheduled, which frees its slot. While another run exports the
        project, if_running=join ends this run with the other run's job.
        """
        from project_export.airflow.context import for_good, of_tree, run_name, task_context
        from project_export.airflow.runs import run_alive
        from project_export.errors import AwaitsTurn, JobActive
        from project_export.ledger.scrub import scrub
        from project_export.request import Request
        from project_export.steps import create

        try:
            with for_good():
                params = dict(context["params"])
                user_name = self._user(context["dag_run"], params.pop(REQUESTED_BY, None))
                ctx = task_context(params.get("source"))
                request = Request.from_params(of_tree(params, ctx), ctx.tree)
                try:
                    created = create(
                        ctx,
                        request,
                        run_id=run_name(context),
                        requested_by=user_name,
                        run_alive=lambda name: run_alive(context["ti"], name),
                        followed=self._followed(context["ti"]),
                        watched=context["dag_run"].run_type == _BY_HAND,
                        last_try=context["ti"].try_number > context["ti"].max_tries,
                        queued=True,
                    )
                except AwaitsTurn as error:
                    self._wait(error, error.seconds, context["ti"])
                except JobActive as error:  # a cleared run whose job has ended: it is not in the queue
                    if request.if_running != "wait":
                        raise
                    self._wait(error, _WAIT_SECONDS, context["ti"])
        except AirflowRescheduleException:
            raise
        except Exception as error:
            context["ti"].xcom_push(key=ERROR, value=scrub(str(error)))
            raise
        if created.joined:
            context["ti"].xcom_push(key=JOINED, value=created.job_id)
        common = {
            "job_id": created.job_id,
            "source": ctx.source,
            "alone": len(created.titles) == 1,
            "shared": created.shared,
        }
        return [{**common, "unit": unit, "title": title} for unit, title in enumerate(created.titles)]

    def _wait(self, error: Exception, seconds: float, ti: Any) -> NoReturn:
        """Free the slot of this task, and start it again after some seconds without counting a try.

        Where Airflow has too much to do, asking takes long. Then it asks less often, so that asking does not make it
        worse, and so that Airflow does not lose the task.
        """
        now = datetime.now(timezone.utc)
        seconds = min(max(seconds, _SHARE * (now - ti.start_date).total_seconds()), max(seconds, _SLOW_SECONDS))
        self.log.info("%s Trying again in %.0f s.", error, seconds)
        raise AirflowRescheduleException(now + timedelta(seconds=seconds)) from None

    @staticmethod
    def _user(run: Any, named: object) -> str:
        """Return who asked for a run. named: the user that the DAG names that has triggered this run; else None.

        Raises BadRequest if anybody else names one: rules of access are for the real one.
        """
        from project_export.errors import BadRequest

        if named is None:
            return requester(run)
        if run.run_type != _BY_DAG or not isinstance(named, str) or not named:
            raise BadRequest(f"parameter {REQUESTED_BY} is only for runs that another DAG triggers; got {named!r}")
        return named

    def _followed(self, ti: Any) -> bool:
        """Return whether any task after this one will run. When only this task was cleared, they have all ended."""
        states = task_states(ti, *sorted(self.downstream_task_ids)).values()
        return not states or not set(ENDED_TASKS).issuperset(states)


class HoldSnapshot(BaseOperator):
    """Let the triggerer hold one snapshot for all workers, see `Holder`; skipped when they share none."""

    template_fields: Sequence[str] = ("units",)

    def __init__(self, *, units: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units

    def execute(self, context: Any) -> None:
        """Defer to the triggerer."""
        if not self.units or not self.units[0]["shared"]:
            raise AirflowSkipException("the workers share no snapshot")
        if in_process():
            raise AirflowSkipException("all tasks run one after the other here, so a worker holds the snapshot")
        if context["ti"].try_number > 1 and not self._needed():
            raise AirflowSkipException("no relation needs a snapshot any more")
        from project_export.airflow.context import task_settings
        from project_export.settings import ENVIRONMENT_ONLY

        settings = task_settings(self.units[0]["source"])
        self.defer(
            trigger=SnapshotTrigger(
                self.units[0]["job_id"],
                settings.source_conn_id,
                settings.ledger_conn_id,
                settings.model_dump(exclude={*ENVIRONMENT_ONLY}),
            ),
            method_name="execute",  # never called: the trigger ends the task itself
            timeout=timedelta(seconds=settings.snapshot_max_seconds + 60),
        )

    def _needed(self) -> bool:
        """Return whether a relation that needs a snapshot is pending.

        None is when the merge has exported everything because no triggerer ran, or when only a repository failed.
        The first try does not check: all workers wait for its snapshot.
        """
        from project_export.airflow.context import task_context

        return bool(task_context(self.units[0]["source"]).ledger.queries.progress(self.units[0]["job_id"]).on_snapshot)


class ExportRelation(BaseOperator):
    """A worker: it claims relations of its job and exports them.

    unit: one of those that create returned. holder: id of the task that holds the snapshot for all workers.
    """

    template_fields: Sequence[str] = ("unit",)

    def __init__(self, *, unit: Any, holder: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.unit = unit
        self.holder = holder
        self._worker: Worker | None = None

    def execute(self, context: Any) -> dict[str, int]:
        """Work until nothing is left to claim; return the numbers of parts, records and raw bytes exported."""
        from project_export.airflow.context import for_good, run_name, task_context
        from project_export.steps import Owner, Worker

        with for_good():
            owner = Owner(run_name(context), self.unit["unit"], context["ti"].try_number)
            lends = self._lends(context["ti"])
            self._worker = Worker(
                task_context(self.unit["source"]), self.unit["job_id"], owner, alone=self.unit["alone"], lends=lends
            )
            try:
                worked = self._worker.run()
            finally:
                context[DID] = str(self._worker.worked)
        return {"parts": worked.parts, "records": worked.records, "raw_bytes": worked.raw_bytes}

    def _lends(self, ti: Any) -> bool:
        """Return whether the worker may lend a snapshot: workers share one, and the task that held it has ended.

        That task has ended when the worker is cleared later, or when no worker started in time and it freed its slot.
        """
        return bool(self.unit["shared"]) and task_states(ti, self.holder).get(self.holder) in ENDED_TASKS

    def on_kill(self) -> None:
        """Cancel the running query and requeue its relation."""
        if self._worker is not None:
            self._worker.cancel()


class MergeRelationExports(BaseOperator):
    """Merge the parts into the archive and publish it, or raise with every relation that failed.

    units: what create returned. Without units, because create failed or joined another run, the task is skipped.
    """

    template_fields: Sequence[str] = ("units",)
    operator_extra_links = (ExportLink(),)

    def __init__(self, *, units: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self._merger: Merger | None = None

    def execute(self, context: Any) -> dict[str, Any]:
        """Return the archive's URI, size, checksum and numbers of records and omissions.

        The ledger decides what is merged, not the states of the tasks.
        """
        from project_export.airflow.context import for_good, run_name, task_context
        from project_export.errors import ProjectExportError
        from project_export.steps import Merger, failure

        ti = context["ti"]
        if not self.units:
            raise AirflowSkipException("this run has no job of its own, so there is nothing to merge")
        job_id = self.units[0]["job_id"]
        with for_good():
            ctx = task_context(self.units[0]["source"])
            self._merger = Merger(
                ctx,
                job_id,
                run_id=run_name(context),
                attempt=ti.try_number,
                last_try=ti.try_number > ti.max_tries,
            )
            try:
                merged = self._merger.run()
            except ProjectExportError as error:
                ti.xcom_push(key=ERROR, value=failure(ctx, job_id, error))
                raise
        return {
            "uri": merged.uri,
            "bytes": merged.bytes,
            "sha256": merged.sha256,
            "records": merged.records,
            "omissions": len(merged.omissions),
        }

    def on_kill(self) -> None:
        """Stop exporting, and remove an unfinished archive."""
        if self._merger is not None:
            self._merger.cancel()
