"""What an operator does on the page, in a real browser against a real Airflow."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from project_export.archive.verify import verify
from tests.dags.stage import DAG_ID, GRACE_SECONDS, Stage
from tests.web.real.conftest import Login

PROJECT = "acme/tools/project-{}"
RUN_SECONDS = 150
BRIGHTNESS = """body => ["backgroundColor", "color"].map(name => {
    const canvas = document.createElement("canvas").getContext("2d");
    canvas.fillStyle = getComputedStyle(body)[name];
    canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data.slice(0, 3).reduce((sum, one) => sum + one);
})"""
WIDE, NARROW = {"dark": False, "width": 1280}, {"dark": True, "width": 400}


def exports(page: Any, stage: Stage) -> Any:
    """Open the page from Airflow's navigation; return the frame that shows it."""
    page.goto(f"{stage.airflow.url}/plugin/project-exports")
    return page.frame_locator("iframe")


def start(frame: Any, project: str) -> None:
    """Fill in the form, and send it when it has found the project."""
    frame.get_by_role("link", name="Start an export").click()
    frame.get_by_role("heading", name="Start an export").wait_for()
    frame.get_by_label("Project", exact=True).fill(project)
    frame.locator("#found .found").wait_for()
    frame.get_by_role("button", name="Start the export").click()


def state(frame: Any, wanted: str, seconds: float = RUN_SECONDS) -> None:
    """Wait until the head of a job's page says a state."""
    frame.locator(".head .state", has_text=re.compile(f"^{wanted}$")).wait_for(timeout=seconds * 1000)


def share(frame: Any) -> int:
    """Return how far the bar is, of 1000."""
    return int(frame.locator(".head progress").get_attribute("value"))


def overflows(frame: Any) -> bool:
    """Return whether one has to scroll sideways."""
    return bool(frame.locator("html").evaluate("page => page.scrollWidth > page.clientWidth"))


def is_dark(frame: Any) -> bool:
    """Return whether the background is darker than the text."""
    background, text = frame.locator("body").evaluate(BRIGHTNESS)
    return bool(background < text)


@contextmanager
def unreadable(stage: Stage, table: str) -> Iterator[None]:
    """Take the right to read a table from the role that exports."""
    stage.sql(f"REVOKE SELECT ON {table} FROM stage_reader")  # noqa: S608
    try:
        yield
    finally:
        stage.sql(f"GRANT SELECT ON {table} TO stage_reader")


@pytest.mark.parametrize("look", [WIDE, pytest.param(NARROW, marks=pytest.mark.slow)], ids=("wide", "narrow"))
def test_an_export_is_started_watched_and_downloaded_on_the_page(
    stage: Stage, login: Login, tmp_path: Path, look: dict[str, Any]
) -> None:
    page = login(**look)
    frame = exports(page, stage)
    with stage.locked("label_priorities"):  # planning does not read it
        start(frame, PROJECT.format(1))
        state(frame, "running")
        frame.locator(".head progress").wait_for()
        before = share(frame)
        assert before < 1000
    state(frame, "finished")
    assert share(frame) == 1000 > before
    assert is_dark(frame) == look["dark"]
    assert not overflows(frame)

    with page.expect_download() as downloading:
        frame.get_by_role("link", name="Download the archive").click()
    archive = tmp_path / "project.tar.gz"
    downloading.value.save_as(archive)
    shown = frame.locator(".facts code", has_text=re.compile("^[0-9a-f]{64}$")).inner_text()
    assert hashlib.sha256(archive.read_bytes()).hexdigest() == shown
    assert verify(archive).ok
    assert downloading.value.suggested_filename.endswith("_export.tar.gz")


@pytest.mark.slow
@pytest.mark.parametrize("look", [WIDE, NARROW], ids=("wide", "narrow"))
def test_a_failed_job_shows_its_error_and_is_retried_on_the_page(
    stage: Stage, login: Login, look: dict[str, Any]
) -> None:
    page = login("user", **look)
    frame = exports(page, stage)
    with unreadable(stage, "boards"):
        start(frame, "2")
        state(frame, "failed")
        error = frame.get_by_label("Error of boards").first.inner_text()
        assert "permission denied for table boards" in error
        assert "42501" in frame.locator(".trouble", has_text="boards").first.inner_text()
        assert not overflows(frame)
        frame.get_by_role("link", name="Log of boards").click()
        frame.get_by_role("region", name="Log").get_by_text("permission denied for table boards").first.wait_for()
        frame.get_by_role("navigation").get_by_role("link", name=re.compile("^Job ")).click()
    frame.get_by_role("button", name="Retry failed").click()
    state(frame, "finished", RUN_SECONDS + GRACE_SECONDS)
    rows = {row.relation: row.attempt for row in stage.ledger.queries.rows(newest(stage))}
    assert rows["boards"] > 1
    assert rows["labels"] == 1, "what was finished is not read again"


@pytest.mark.slow
def test_a_running_export_is_cancelled_after_a_question(stage: Stage, login: Login) -> None:
    page = login("user")
    frame = exports(page, stage)
    with stage.locked("label_priorities"):
        start(frame, PROJECT.format(3))
        state(frame, "running")
        frame.get_by_role("button", name="Cancel").click()
        frame.get_by_role("button", name="Yes, cancel").click()
        job = stage.ledger.queries.job(newest(stage))
        run_id = job.run_id.partition("/")[2]
        assert stage.rest.wait_for_run(DAG_ID, run_id, 60) == "failed"


def test_the_tab_of_a_run_shows_its_job_and_helps_elsewhere(stage: Stage, login: Login) -> None:
    page = login("viewer")
    job = next(one.job for one in stage.ledger.queries.jobs() if one.job.plan.get("project"))
    run_id = job.run_id.partition("/")[2]
    page.goto(f"{stage.airflow.url}/dags/{DAG_ID}/runs/{run_id}")
    page.get_by_role("link", name="Project export", exact=True).click()
    frame = page.frame_locator("iframe")
    frame.get_by_role("heading", name=job.plan["project"]).wait_for()

    other = stage.rest.call("GET", "/dags/prune_exports/dagRuns?limit=1")["dag_runs"]
    other_id = other[0]["dag_run_id"] if other else stage.rest.trigger("prune_exports", {"dry_run": True})
    page.goto(f"{stage.airflow.url}/dags/prune_exports/runs/{other_id}/plugin/project-export")
    frame.get_by_text("This run is of the DAG prune_exports.").wait_for()


@pytest.mark.slow
def test_a_link_to_a_run_leads_out_of_the_frame_that_may_not_navigate(stage: Stage, login: Login) -> None:
    page = login("viewer")
    frame = exports(page, stage)
    frame.locator("table.jobs a").first.click()
    link = frame.locator("a.airflow").first
    run_id = link.inner_text()
    link.click()
    page.wait_for_url(lambda url: f"/dags/{DAG_ID}/runs/" in url)
    page.get_by_role("link", name="Task Instances").first.wait_for()
    assert run_id in unquote(page.url)


def test_a_viewer_sees_everything_and_has_no_buttons(stage: Stage, login: Login) -> None:
    page = login("viewer")
    frame = exports(page, stage)
    frame.locator("table.jobs a").first.click()
    frame.locator(".head").wait_for()
    for name in ("Start an export", "Export again", "Retry failed", "Cancel"):
        assert frame.get_by_text(name, exact=True).count() == 0, name


def test_a_token_is_made_on_the_page_and_opens_the_api(stage: Stage, login: Login) -> None:
    page = login("user")
    page.goto(f"{stage.airflow.url}/project-exports/tokens")
    page.get_by_label("Name").fill("nightly backup")
    page.get_by_role("button", name="Create").click()
    secret = page.locator("#secret").inner_text()
    answer = page.request.get(f"{stage.airflow.url}/api/v4/user", headers={"PRIVATE-TOKEN": secret})
    assert (answer.status, answer.json()["username"]) == (200, "user")
    page.get_by_role("button", name="Revoke nightly backup").click()
    page.get_by_role("button", name="Yes, revoke").click()
    page.get_by_text("revoked").wait_for()
    assert page.request.get(f"{stage.airflow.url}/api/v4/user", headers={"PRIVATE-TOKEN": secret}).status == 401


def test_a_visitor_logs_in_first_and_then_sees_the_page_asked_for(stage: Stage, chromium: Any) -> None:
    context = chromium.new_context()
    try:
        page = context.new_page()
        page.goto(f"{stage.airflow.url}/project-exports/tokens")
        page.locator("input[name=username]").fill("viewer")
        page.locator("input[name=password]").fill(stage.airflow.password("viewer"))
        page.locator("input[name=password]").press("Enter")
        page.get_by_role("heading", name="API tokens").wait_for()
    finally:
        context.close()


def newest(stage: Stage) -> int:
    """Return the id of the newest job."""
    return stage.ledger.queries.jobs(limit=1)[0].job.id
