"""The last tasks: skipped without a job, with events about the job; the run succeeds if the archive is published."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.dags.task_instances import UNIT, TaskInstance, context, task_context


@pytest.mark.parametrize("units", [None, []])
def test_without_a_job_the_merge_is_skipped(units):
    from airflow.sdk.exceptions import AirflowSkipException

    from project_export.airflow.operators import MergeRelationExports

    with pytest.raises(AirflowSkipException, match="nothing to merge"):
        MergeRelationExports(task_id="merge", units=units).execute(context(TaskInstance()))


class OutletEvents(dict):
    """The events of a task's assets, each made when it is first asked for."""

    def __missing__(self, asset: Any) -> Any:
        self[asset] = SimpleNamespace(extra=None, partitions=[])
        self[asset].add_partitions = self[asset].partitions.append
        return self[asset]


def test_the_events_of_an_archive_are_about_the_project_of_the_job(monkeypatch):
    from project_export import steps
    from project_export.airflow.after import ARCHIVE, PROJECT_ARCHIVE, AfterExport
    from project_export.merged import Merged

    archive, extra = Merged("file:///a", 1, "00", 2), {"source": "gitlab", "project_id": 42}
    task_context(monkeypatch)
    monkeypatch.setattr(steps, "after_export", lambda *_, **__: archive)
    monkeypatch.setattr(steps, "event", lambda ctx, job_id: extra)
    run = {**context(TaskInstance()), "params": {"project_id": 1}, "outlet_events": OutletEvents()}
    AfterExport(task_id="after", units=[UNIT]).execute(run)
    events = run["outlet_events"]
    assert (events[ARCHIVE].extra, events[ARCHIVE].partitions) == (extra, [])
    assert (events[PROJECT_ARCHIVE].extra, events[PROJECT_ARCHIVE].partitions) == (extra, ["gitlab/42"])


def end(units: Any, job: Any, monkeypatch: pytest.MonkeyPatch, after: str | None = "success") -> str:
    """Run the last task of a run with this job. A job that is still open fails with the reason the task gives."""
    from project_export import steps
    from project_export.airflow.end import EndExport

    def conclude(ctx: Any, run_id: str, reason: str) -> Any:
        assert run_id == "export_project/run"
        if job is not None and job.state == "started":
            job.state, job.errors = "failed", [reason]
        return job

    task_context(monkeypatch)
    monkeypatch.setattr(steps, "conclude", conclude)
    ti = TaskInstance({"after": after}, xcoms={"error": "no such project"})
    return EndExport(task_id="end", units=units, creator="create", after="after").execute(context(ti))


def ended(state: str, *errors: str) -> Any:
    return SimpleNamespace(state=state, errors=errors, project_id=1, finished_at=None, archive_uri="file:///a")


def test_a_published_archive_ends_the_run_well(monkeypatch):
    assert end([UNIT], ended("finished"), monkeypatch) == "file:///a"


@pytest.mark.parametrize(
    ("units", "job", "after", "said"),
    [
        (None, None, "skipped", "no archive was published: no such project"),
        (None, ended("started"), "skipped", "no archive was published: no such project"),
        ([UNIT], None, "upstream_failed", "no archive was published: see the log of create"),
        ([UNIT], ended("failed", "boards: no right"), "upstream_failed", "(?s)project 1 failed.*boards: no right"),
        ([UNIT], ended("started"), "upstream_failed", "none has ended the job"),
        ([UNIT], ended("finished"), "failed", "file:///a is published, but after has not succeeded"),
    ],
)
def test_anything_else_fails_the_run_with_the_reason(units, job, after, said, monkeypatch):
    from airflow.sdk.exceptions import AirflowFailException

    with pytest.raises(AirflowFailException, match=said):
        end(units, job, monkeypatch, after)


def test_a_run_that_joined_another_one_ends_with_nothing(monkeypatch):
    from airflow.sdk.exceptions import AirflowSkipException

    with pytest.raises(AirflowSkipException):
        end([], None, monkeypatch)
