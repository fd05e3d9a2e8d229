"""How the exports of many projects ended: what is summed up, and the notice about all of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from project_export.errors import WHOLE, DeliveryFailed, Failure
from project_export.ledger import JobRequest, Ledger, Planned, make_engine, upgrade
from project_export.settings import Settings
from project_export.steps import (
    Context,
    Ended,
    FoundProject,
    Notice,
    announce_fleet,
    announce_refusal,
    summarise,
)

REQUEST = JobRequest(source="source", tree="gitlab", project_id=1, run_id="dag/1", requested_by="jane")
ENDED = [
    Ended(FoundProject(1, "acme/one"), "dag/1"),
    Ended(FoundProject(2, "acme/two"), "dag/2", "its run has failed"),
    Ended(FoundProject(3, ""), "dag/3", "its run does not exist"),
    Ended(FoundProject(4, "acme/four"), "dag/4"),
]


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    """Job 1 has finished with omissions, job 2 has failed, run 3 is gone, and the job of run 4 was pruned."""
    engine = make_engine(f"sqlite:///{tmp_path / 'ledger.db'}")
    upgrade(engine)
    ledger = Ledger(engine)
    job = ledger.jobs.open(REQUEST, [Planned("issues", 0)])
    claim = ledger.claims.claim(job.id, 0, "unit 0")
    assert claim is not None
    part = SimpleNamespace(records=3, raw_bytes=9, stored_bytes=9, crc32=1, stored_crc32=1, sha256="ab" * 32)
    ledger.claims.finish(claim, part, "file:///part", omissions=["a", "b"])
    ledger.jobs.finish(job.id, "file:///archive", 20, "ab" * 32, 3)
    failed = ledger.jobs.open(replace(REQUEST, project_id=2, run_id="dag/2"), [Planned("issues", 0)])
    ledger.jobs.fail(failed.id, [Failure(WHOLE, 0, "issues: no right at postgresql://jane:s3cret@db/x")])
    return Context(Settings(), ledger, "source", lambda: pytest.fail("no source"))


def test_the_errors_are_those_of_the_jobs_or_else_of_the_runs(ctx: Context) -> None:
    summary = summarise(ctx, ENDED)
    assert (summary.projects, summary.exported) == (4, 2)
    assert (summary.records, summary.bytes, summary.omissions) == (3, 20, {1: 2})
    assert summary.faults[1] == "project 3: its run does not exist"
    assert summary.faults[0].startswith("project 2 (acme/two): ")
    assert "issues: no right" in summary.faults[0]
    said = summary.as_json()
    assert json.loads(json.dumps(said)) == said
    assert "s3cret" not in str(said)


def test_why_a_run_got_no_job_is_its_error_even_if_an_earlier_job_has_others(ctx: Context) -> None:
    (failure,) = summarise(ctx, [replace(ENDED[1], refused="project 2 is not in the source " * 50)]).failures
    assert failure.error.startswith("project 2 is not in the source")
    assert failure.error.endswith(" ...")
    assert len(failure.error) <= 500


def test_one_notice_names_what_failed(ctx: Context) -> None:
    sent: list[Notice] = []

    def refuse(notice: Notice) -> None:
        raise DeliveryFailed("no answer")

    ctx = replace(ctx, channels={"mail": refuse, "webhook": sent.append})
    announce_fleet(ctx, summarise(ctx, ENDED), "export_projects/run", "jane")
    announce_fleet(ctx, summarise(ctx, [ENDED[0]]), "export_projects/run", "jane")
    announce_refusal(ctx, "parameter project is unknown", "export_projects/run", "jane")
    failed, finished, refused = sent
    assert (failed.outcome, failed.subject) == ("failed", "Projects export error")
    assert "2 of 4 projects were exported" in failed.text
    assert "project 3: its run does not exist" in failed.text
    facts: Any = failed.facts
    assert [failure["project_id"] for failure in facts["failures"]] == [2, 3]
    assert (facts["run_id"], facts["requested_by"], facts["source"]) == ("export_projects/run", "jane", "source")
    assert (finished.outcome, finished.subject) == ("finished", "Projects were exported")
    assert "parameter project is unknown" in refused.text
