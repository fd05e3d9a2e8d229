"""The page of one job: what it shows, what it asks again, and what its buttons do."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from project_export.airflow.web.airflow_api import AirflowRefused
from project_export.errors import WHOLE, Failure
from project_export.ledger import JobRequest
from project_export.steps.notice import Notice
from tests.web.jobs import Part


def test_a_running_job_asks_again_and_one_that_has_ended_does_not(page, jobs):
    running = jobs.write(Part("labels", 1, None, "started", raw_bytes=50), ago=10)
    text = page.get(f"/jobs/{running.id}").text
    assert f'hx-get="../jobs/{running.id}/live" hx-trigger="every 2500ms"' in text
    fragment = page.get(f"/jobs/{running.id}/live", fragment=True).text
    assert 'hx-trigger="every' in fragment
    assert "<html" not in fragment
    jobs.ledger.jobs.fail(running.id, [Failure(WHOLE, 0, "stopped")])
    fragment = page.get(f"/jobs/{running.id}/live", fragment=True).text
    assert 'hx-trigger="every' not in fragment
    assert "stopped" in fragment


def test_a_queued_job_says_what_it_waits_for(page, jobs):
    running = jobs.write(Part("labels", 1, None, "started"), project_id=7)
    request = JobRequest("main", "gitlab", 7, "export_project/page__7", "jane")
    waits = jobs.ledger.jobs.queue(replace(request, waiting=True))
    queued = jobs.ledger.jobs.queue(replace(request, project_id=8, run_id="export_project/page__8"))
    text = page.get(f"/jobs/{waits.id}").text
    assert f"Waiting for its turn: 1 export is before it, and job {running.id} of the same project is one" in text
    assert "Waiting for its run to start." in page.get(f"/jobs/{queued.id}").text
    listed = page.get("/").text
    assert listed.count("waiting for its turn") == listed.count("waiting for its run") == 1


def test_a_failed_job_says_why_and_what_to_do(page, jobs):
    job = jobs.failed(project="group/app", snapshot_id="0003-1")
    text = page.get(f"/jobs/{job.id}").text
    for words in (
        "read notes: permission denied for table &#34;notes&#34; &lt;b&gt;",
        "attempt 3",
        "PROJECT_EXPORT_STATEMENT_TIMEOUT_SECONDS",
        "Retry failed",
        f"../jobs/{job.id}/log?task=export_relation&amp;unit=0&amp;attempt=3",
        "1 of 2 relations finished",
    ):
        assert words in text


def test_a_job_that_was_retried_is_followed_until_it_goes_on(page, jobs):
    job = jobs.failed()
    page.goes_on = True
    text = page.get(f"/jobs/{job.id}").text
    assert 'hx-trigger="every' in text
    assert "still at work" in text
    assert "/retry" not in text
    assert "/cancel" in text
    page.goes_on = False
    assert 'hx-trigger="every' not in page.get(f"/jobs/{job.id}/live", fragment=True).text


def test_the_errors_that_ended_a_job_are_above_its_relations(page, jobs):
    again = Part("issues", 1, None, "started", attempt=2, values={"error": "lost", "error_code": "SourceBusy"})
    failed = Part("notes", 3, 9, "failed", attempt=3, values={"error": "no disk", "error_code": "ENOSPC"})
    text = page.get(f"/jobs/{jobs.failed(parts=(again, failed)).id}").text
    assert text.index("no disk") < text.index("Timeline") < text.index("Relations") < text.index("lost")
    assert text.count("no disk") == 1


def test_a_job_of_changes_names_its_window_and_the_job_before_it(page, jobs):
    full = jobs.finished(run="full")
    day = datetime(2026, 11, 27, tzinfo=timezone.utc)
    values = {"mode": "changes", "window_start": day, "window_end": day + timedelta(days=1), "predecessor_id": full.id}
    job = jobs.finished(run="changes", **values)
    text = page.get(f"/jobs/{job.id}").text
    assert "2026-11-27" in text
    assert "2026-11-28" in text
    assert f'after <a href="../jobs/{full.id}">job {full.id}</a>' in text
    assert "<dt>Changes</dt>" not in page.get(f"/jobs/{full.id}").text
    assert page.get("/").text.count("changes until") == 1
    assert "The archive only has what changed from 2026-11-27 00:00:00+00:00 until" in Notice.of(job, "finished").text


def test_the_timeline_has_bars_and_words(page, jobs):
    job = jobs.failed()
    text = page.get(f"/jobs/{job.id}").text
    assert text.count('<rect class="run') == 4
    assert 'class="run run-failed run-critical"' in text
    assert re.search(r'role="img" aria-label="6.0 s, from 3.0 s to 9.0 s, held the job back"', text)
    assert "notes ended last, after 6.0 s." in text


def test_nothing_on_any_page_needs_inline_styles_or_scripts(page, jobs):
    jobs.finished(run="a", project_id=1)
    job = jobs.failed()
    for path in ("/", f"/jobs/{job.id}", "/start", "/tokens", "/run?dag_id=x", "/jobs/99"):
        text = page.client.get(path, headers={"accept": "text/html"}).text
        assert not re.search(r"\sstyle=|\son\w+=|<script(?![^>]*src=)|<style", text), path
        assert not re.search(r'(?:href|src|action|hx-get)="(?:/|https?:)', text), path


@pytest.mark.parametrize(
    ("path", "prefix"),
    [
        ("/", "./"),
        ("/start", "./"),
        ("/jobs/1", "../"),
        ("/jobs/1/contents", "../../"),
        ("/jobs/1/odd/deep", "../../../"),
    ],
)
def test_links_go_up_to_the_start_from_every_depth(page, jobs, path, prefix):
    jobs.finished()
    text = page.client.get(path, headers={"accept": "text/html"}).text
    assert f'href="{prefix}static/page.css"' in text


def test_each_button_needs_its_own_permission(page, jobs):
    failed = jobs.failed(run="a", project_id=1)
    running = jobs.write(Part("labels", 1, None, "started"), run="b", project_id=2)
    page.allowed = {"READ"}
    assert "<form" not in page.get(f"/jobs/{failed.id}").text + page.get(f"/jobs/{running.id}").text
    page.allowed = {"READ", "RETRY"}
    assert f'action="../jobs/{failed.id}/retry"' in page.get(f"/jobs/{failed.id}").text
    assert "<form" not in page.get(f"/jobs/{running.id}").text
    page.allowed = {"READ", "CANCEL"}
    assert "<form" not in page.get(f"/jobs/{failed.id}").text
    assert f'action="../jobs/{running.id}/cancel"' in page.get(f"/jobs/{running.id}").text


@pytest.mark.parametrize(("action", "permission"), [("retry", "RETRY"), ("cancel", "CANCEL")])
def test_an_action_goes_through_airflow_and_back_to_the_job(page, jobs, action, permission):
    job = jobs.failed(run="one")
    answer = page.post(f"/jobs/{job.id}/{action}")
    assert answer.headers["location"] == f"../{job.id}"
    assert page.called == [(action, "one")]
    page.allowed.remove(permission)
    assert "You may not do this" in page.post(f"/jobs/{job.id}/{action}", status=403).text
    assert len(page.called) == 1


def test_the_job_of_a_cancelled_run_has_ended_at_once(page, jobs):
    job = jobs.write(Part("labels", 1, None, "started"), run="one")
    page.post(f"/jobs/{job.id}/cancel")
    assert jobs.ledger.queries.job(job.id).outcome == "cancelled"
    assert 'hx-trigger="every' not in page.get(f"/jobs/{job.id}").text
    page.post(f"/jobs/{job.id}/cancel")
    assert page.called == [("cancel", "one")] * 2


def test_a_job_stays_as_it_is_if_airflow_refuses_to_cancel_its_run(page, jobs):
    job = jobs.write(Part("labels", 1, None, "started"), run="one")
    page.answers["cancel"] = AirflowRefused(409, "no")
    page.post(f"/jobs/{job.id}/cancel", status=409)
    assert jobs.ledger.queries.job(job.id).state == "started"


def test_a_job_whose_run_is_gone_says_who_will_end_it(page, jobs):
    job = jobs.write(Part("labels", 1, None, "started"))
    assert "has ended" not in page.get(f"/jobs/{job.id}").text
    page.gone = True
    text = page.get(f"/jobs/{job.id}").text
    assert "Its run has ended or was deleted, so nobody works on this job." in text


def test_what_airflow_refuses_is_shown(page, jobs):
    job = jobs.failed()
    page.answers["retry"] = AirflowRefused(409, "The run is locked")
    assert "The run is locked" in page.post(f"/jobs/{job.id}/retry", status=409).text
    page.answers["retry"] = AirflowRefused(500, "broken")
    page.post(f"/jobs/{job.id}/retry", status=502)


def test_a_job_from_a_shell_has_no_buttons_of_airflow(page, jobs):
    job = jobs.failed(run_id="shell on host")
    text = page.get(f"/jobs/{job.id}").text
    assert "<form" not in text
    assert "/log?" not in text
    page.post(f"/jobs/{job.id}/retry", status=409)
    page.get(f"/jobs/{job.id}/log", status=400)


def test_the_log_of_a_task_is_shown_without_secrets_and_with_its_errors(page, jobs):
    job = jobs.failed(run="one")
    page.answers["tasks"] = [{"task_id": "export_relation", "map_index": 1, "try_number": 2}]
    page.answers["log"] = [
        {"event": "::group::Pre Execute", "level": "info"},
        {"event": "::endgroup::", "level": "info"},
        {"event": "connecting to postgresql://u:s3cret@db/x", "timestamp": "2026-11-28T10:00:00Z", "level": "info"},
        {"event": "failed", "level": "error", "error_detail": [{"exc_type": "SourceBusy", "exc_value": "<lost>"}]},
    ]
    text = page.get(f"/jobs/{job.id}/log?task=export_relation&unit=1").text
    assert page.called[-1] == ("log", "one", "export_relation", 1, 2)
    assert "SourceBusy: &lt;lost&gt;" in text
    assert "s3cret" not in text
    assert "Pre Execute" in text
    assert "group::" not in text
    assert 'href="../../../dags/export_project/runs/one/tasks/export_relation/mapped/1?try_number=2"' in text
    assert "It has no log" not in text
    assert "has not started" in page.get(f"/jobs/{job.id}/log?task=end_export").text
    page.get(f"/jobs/{job.id}/log?task=other", status=422)
    page.allowed.remove("READ_LOG")
    page.get(f"/jobs/{job.id}/log", status=403)


def test_the_tab_of_a_run_goes_to_its_job(page, jobs):
    job = jobs.finished(run="one")
    assert page.get("/run?dag_id=export_project&run_id=one", status=303).headers["location"] == f"jobs/{job.id}"
    answer = page.get("/run?dag_id=export_project&run_id=one", fragment=True, status=204)
    assert answer.headers["hx-redirect"] == f"jobs/{job.id}"


def test_the_tab_of_any_other_run_says_what_it_is_for(page, jobs):
    jobs.finished(run="one")
    text = page.get("/run?dag_id=export_project&run_id=two").text
    assert "This run has no export job." in text
    assert 'hx-trigger="every 3s"' in text
    text = page.get("/run?dag_id=other&run_id=one").text
    assert "This run is of the DAG other." in text
    assert "hx-get" not in text
    page.get("/run", status=200)


def test_an_archive_and_its_manifest_and_relations_can_be_downloaded(page, jobs, ctx, tmp_path):
    body = b"an archive"
    sha256 = "d3c2f0a5d8b8cc6f5a8d7d4f3c9e2bba40e5e6c4f0d3e6a3b9b3a5fe1c2d4e5f"
    folder = tmp_path / "store" / "main" / "42" / "1" / "abc"
    folder.mkdir(parents=True)
    (folder / "project.tar.gz").write_bytes(body)
    uri = (folder / "project.tar.gz").as_uri()
    job = jobs.finished(archive_uri=uri, archive_bytes=len(body), archive_sha256=sha256)
    answer = page.client.head(f"/jobs/{job.id}/archive")
    assert answer.status_code == 405  # browsers ask with GET
    answer = page.get(f"/jobs/{job.id}/archive", headers={"if-none-match": f'"{sha256}"'}, status=304)
    assert answer.headers["etag"] == f'"{sha256}"'
    page.get(f"/jobs/{job.id}/manifest", status=404)
    page.get(f"/jobs/{job.id}/relations/odd", status=400)
    assert "is not available" in page.get(f"/jobs/{job.id}/contents", fragment=True).text


def test_an_archive_that_was_pruned_has_expired(page, jobs):
    job = jobs.finished(archive_uri=None)
    assert "has expired" in page.get(f"/jobs/{job.id}/archive", status=410).text


@pytest.mark.parametrize("number", ["99", "0", "-1", str(1 << 70)])
def test_a_job_that_does_not_exist_is_not_found(page, number):
    page.get(f"/jobs/{number}", status=404)
