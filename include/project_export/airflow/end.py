"""The last task of a run: it alone decides whether the run is green."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timezone
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from project_export.airflow.operators import ERROR
from project_export.airflow.runs import task_states

if TYPE_CHECKING:
    from project_export.ledger import Job

_NOT_ENDED = "all tasks of the run have ended, and none has ended the job (killed in its last try? marked failed?)"


class EndExport(BaseOperator):
    """Succeed if the archive is published and the task after it has succeeded; otherwise fail with the reason.

    Airflow derives a run's state from its last tasks alone, so a published archive means a successful run even if the
    snapshot's holder failed. A job that is still open is failed here, and its failure is reported.
    units: what create returned. creator, after: the ids of the first task and of the one after the merge.
    """

    template_fields: Sequence[str] = ("units",)

    def __init__(self, *, units: Any, creator: str, after: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.creator = creator
        self.after = after

    def execute(self, context: Any) -> str:
        """Return the URI of the archive. Raises AirflowFailException."""
        from project_export.airflow.context import for_good, run_name, task_context
        from project_export.steps import conclude

        ti = context["ti"]
        if self.units == []:
            raise AirflowSkipException("another run exports this project; its job was joined")
        reason = ti.xcom_pull(task_ids=self.creator, key=ERROR) if self.units is None else None
        with for_good():
            source = self.units[0]["source"] if self.units else context["params"].get("source")
            job = conclude(task_context(source), run_name(context), reason or _NOT_ENDED)
        if self.units is None or job is None:
            raise AirflowFailException(f"no archive was published: {reason or f'see the log of {self.creator}'}")
        if job.state == "failed":
            raise AirflowFailException(_errors(job))
        if task_states(ti, self.after).get(self.after) != "success":
            raise AirflowFailException(f"{job.archive_uri} is published, but {self.after} has not succeeded; clear it")
        return str(job.archive_uri)


def _errors(job: Job) -> str:
    from project_export.errors import listed

    ended = job.finished_at and job.finished_at.astimezone(timezone.utc).isoformat(" ", "seconds")
    return listed(f"the export of project {job.project_id} failed at {ended}", job.errors)
