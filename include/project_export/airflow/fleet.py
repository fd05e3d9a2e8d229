"""The tasks of an export of many projects: choose them, trigger a run for each, wait for all, and sum up."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, BaseOperator
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from project_export.airflow.ended import OPEN, RunsEnded, still_open
from project_export.airflow.links import RunLink
from project_export.airflow.operators import DID, ERROR, REQUESTED_BY
from project_export.airflow.runs import ENDED_RUNS, later_runs, requester, run_state, trigger_run

if TYPE_CHECKING:
    from project_export.steps import Ended, FoundProject

ONE = "export_project"
"""The DAG that exports one project."""

PROJECTS = Asset("project_export_projects")
"""Each run that has exported all its projects is an event of this asset; the extra of the event is the summary."""

_BACKFILL = "backfill"
_BY = "exported_by"
_LATER_RUNS = 1000
_CREATOR = "create_relation_exports"
_OWN = ("projects", "again")
_LONGEST_RUN_ID = 200


@dataclass(frozen=True)
class Children:
    """The runs of export_project that one run of the fleet has: their ids and confs.

    parent: the run's id. requested_by: who asked for it. shared: what all confs have in common.
    """

    parent: str
    requested_by: str
    shared: Mapping[str, Any]

    @classmethod
    def of(cls, context: Any) -> Children:
        """Return the children of a task's run. Raises BadRequest if the run needs a data interval and has none."""
        from project_export.errors import BadRequest

        run, params = context["dag_run"], context["params"]
        shared = {name: value for name, value in params.items() if name not in _OWN and value not in (None, [], "")}
        if params["mode"] == "changes":
            if run.data_interval_start is None:
                raise BadRequest("mode=changes needs a run with a data interval: backfill it, or give a logical date")
            shared |= {
                "window_start": _utc(run.data_interval_start),
                "window_end": _utc(run.data_interval_end),
            }
        return cls(run.run_id, requester(run), {**shared, "if_running": "wait", "after_export": "none"})

    def conf(self, project_id: int) -> dict[str, Any]:
        """Return the conf of a project's run."""
        return {"project_id": project_id, **self.shared, REQUESTED_BY: self.requested_by}

    def run_id(self, project_id: int) -> str:
        """Return the id of a project's run: the same for the same conf, whichever user asks for it.

        Airflow can clear a run, but not give it another conf, so that another conf needs another run.
        """
        asked = json.dumps([project_id, self.shared], sort_keys=True)
        parent = self.parent if len(self.parent) <= _LONGEST_RUN_ID else _digest(self.parent)
        return f"{project_id}__{parent}__{_digest(asked)[:8]}"


class ChooseProjects(BaseOperator):
    """Check the conf and find the projects; return them, so that the next task is mapped over them."""

    def execute(self, context: Any) -> list[dict[str, Any]]:
        """Return project_id and title of each project. An error is also pushed for the last task.

        A full export shows the present, so of the days of a backfill only the newest exports. The others are skipped,
        unless they have active projects of their own.
        """
        from project_export.airflow.context import for_good
        from project_export.ledger.scrub import scrub

        try:
            with for_good():
                projects, newer = self._choose(context)
        except Exception as error:
            context["ti"].xcom_push(key=ERROR, value=scrub(str(error)))
            raise
        if newer is not None and not projects:
            reason = f"a full export shows the present, so the projects are exported once, by the run {newer}"
            context["ti"].xcom_push(key=_BY, value=reason)
            raise AirflowSkipException(reason)
        self.log.info("%d project(s)", len(projects))
        return [{"project_id": project.id, "title": project.title or str(project.id)} for project in projects]

    def _choose(self, context: Any) -> tuple[list[FoundProject], str | None]:
        from project_export.airflow.context import of_tree, task_context
        from project_export.errors import BadRequest, nearest
        from project_export.request import Request
        from project_export.steps import Interval, choose_projects

        run, params = context["dag_run"], dict(context["params"])
        for name in params:
            if name not in self.dag.params:
                raise BadRequest(f"parameter {name} is unknown; {nearest(name, self.dag.params)}")
        ctx = task_context(params.get("source"))
        conf_of_one = Children.of(context).conf(1)
        del conf_of_one[REQUESTED_BY]
        Request.from_params(of_tree(conf_of_one, ctx), ctx.tree)  # what is wrong for all is reported once
        if context["ti"].get_dag(ONE).is_paused:
            raise BadRequest(f"the DAG {ONE} is paused, so that none of its runs would start: unpause it")
        newer = None
        if run.run_type == _BACKFILL and params["mode"] == "full":
            newer = newer_run(run, timedelta(hours=ctx.settings.archive_hours))
        interval = None
        if run.data_interval_start is not None:
            interval = Interval(run.data_interval_start, run.data_interval_end if newer else None)
        most = conf.getint("core", "max_map_length", fallback=1024)
        words = params["projects"] or ()
        return choose_projects(ctx, words, interval, most=most, only_active=newer is not None), newer


class ExportProject(BaseOperator):
    """Have one project exported by a run of export_project, without waiting for it.

    project: one of those that ChooseProjects returned.
    """

    template_fields: Sequence[str] = ("project",)
    operator_extra_links = (RunLink(),)

    def __init__(self, *, project: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.project = project

    def execute(self, context: Any) -> dict[str, str]:
        """Return the id of the project's run and what was done with it.

        A run that works is followed. One that has failed is cleared; one that has succeeded is kept, unless the param
        `again` says otherwise. Only this task touches the run, apart from people, so that no other can clear it
        between the look and the act.
        """
        ti, children = context["ti"], Children.of(context)
        number = self.project["project_id"]
        run_id = children.run_id(number)
        state = run_state(ti, ONE, run_id)
        repeat = state == "failed" or (state == "success" and context["params"]["again"] == "all")
        if state is None or repeat:
            trigger_run(ONE, run_id, children.conf(number), clear=repeat)
        did = "repeated" if repeat else {None: "started", "success": "exported already"}.get(state, "running already")
        self.run_id = run_id
        context[DID] = f"{self.project['title']}: {did}"
        return {"run_id": run_id, "did": did}


class EndExports(BaseOperator):
    """Wait for the runs of all projects, then succeed if they did; otherwise fail with each project that failed.

    projects: what ChooseProjects returned. chooser: the id of its task.
    """

    template_fields: Sequence[str] = ("projects",)

    def __init__(self, *, projects: Any, chooser: str, **kwargs: Any) -> None:
        super().__init__(outlets=[PROJECTS], **kwargs)
        self.projects = projects
        self.chooser = chooser

    def execute(self, context: Any, event: Any = None) -> dict[str, Any]:
        """Defer until all runs have ended; return the summary, which is also the extra of the Asset's event.

        If a project has failed, the summary is pushed as the same XCom, and AirflowFailException raised: repeating this
        task alone would change nothing.
        """
        from project_export.airflow.context import for_good, task_context
        from project_export.steps import FoundProject, announce_fleet, summarise

        ti = context["ti"]
        if self.projects is None:
            self._refuse(context)
        children = Children.of(context)
        found = [FoundProject(one["project_id"], one["title"]) for one in self.projects]
        pending = still_open(ONE, [children.run_id(project.id) for project in found])
        if pending:
            self.defer(trigger=RunsEnded(ONE, pending), method_name="execute")
        with for_good():
            ctx = task_context(context["params"].get("source"))
            summary = summarise(ctx, [self._ended(ti, children, project) for project in found])
        announce_fleet(ctx, summary, f"{context['dag_run'].dag_id}/{children.parent}", children.requested_by)
        said = summary.as_json()
        if summary.failures:
            from project_export.errors import listed

            ti.xcom_push(key="return_value", value=said)
            headline = f"{len(summary.failures)} of {summary.projects} projects were not exported"
            remedy = "Clear all tasks of this run, and only these projects are exported again."
            raise AirflowFailException(f"{listed(headline, summary.faults)}\n{remedy}")
        context["outlet_events"][PROJECTS].extra = said
        return said

    def _refuse(self, context: Any) -> None:
        """End a run that has no projects, because another run exports them or the first task has failed."""
        from project_export.airflow.context import task_context
        from project_export.steps import announce_refusal

        ti, run = context["ti"], context["dag_run"]
        if reason := ti.xcom_pull(task_ids=self.chooser, key=_BY):
            raise AirflowSkipException(reason)
        reason = ti.xcom_pull(task_ids=self.chooser, key=ERROR) or f"See the log of {self.chooser}."
        announce_refusal(
            task_context(context["params"].get("source")), reason, f"{run.dag_id}/{run.run_id}", requester(run)
        )
        raise AirflowFailException(f"no project was exported: {reason}")

    def _ended(self, ti: Any, children: Children, project: FoundProject) -> Ended:
        from project_export.steps import Ended

        run_id = children.run_id(project.id)
        state = run_state(ti, ONE, run_id)
        name = f"{ONE}/{run_id}"
        if state == "success":
            return Ended(project, name)
        if state is None:
            return Ended(project, name, f"its run {run_id} does not exist")
        refused = ti.xcom_pull(dag_id=ONE, run_id=run_id, task_ids=_CREATOR, key=ERROR, map_indexes=-1)
        return Ended(project, name, f"its run {run_id} has failed", refused)


def newer_run(run: Any, kept: timedelta) -> str | None:
    """Return the id of the newest later run of the same backfill; None if there is none.

    A task does not learn to which backfill a run belongs. Of the same are runs of a backfill with the same conf that
    have not ended, or ended so recently that what they exported is still kept. kept: how long that is.
    """
    since = datetime.now(timezone.utc) - kept
    found = [
        other
        for other in later_runs(run.dag_id, run.logical_date, (*OPEN, *ENDED_RUNS), _LATER_RUNS)
        if other.run_type == _BACKFILL and (other.conf or {}) == (run.conf or {})
        if other.state in OPEN or (other.end_date and other.end_date > since)
    ]
    return max(found, key=lambda other: other.logical_date).run_id if found else None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _utc(time: datetime) -> str:
    return time.astimezone(timezone.utc).isoformat()
