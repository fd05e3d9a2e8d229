"""The form of Airflow's UI that backfills days of many projects, and what the grid then shows."""

from __future__ import annotations

from typing import Any

import pytest

from tests.dags.stage import Stage, until
from tests.web.real.conftest import Login

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

FLEET = "export_projects"
SECONDS = 600


def test_days_are_backfilled_by_the_form(stage: Stage, login: Login) -> None:
    stage.airflow.wait_for_dag(FLEET)
    page = login("admin")
    page.goto(f"{stage.airflow.url}/dags/{FLEET}")
    fill_in(page, "2026/08/01", "2026/08/03", "2\nacme/tools/project-1")
    page.get_by_text("3 runs will be triggered.").wait_for()
    page.get_by_role("button", name="Run Backfill").click()
    page.locator("[role=dialog][data-state=open]").wait_for(state="detached")

    def runs() -> dict[str, dict[str, Any]]:
        found = stage.rest.call("GET", f"/dags/{FLEET}/dagRuns?limit=100")["dag_runs"]
        return {run["logical_date"][:10]: run for run in found if str(run["logical_date"]).startswith("2026-08")}

    until(lambda: [run["state"] for run in runs().values()] == ["success"] * 3, SECONDS)
    days = runs()
    assert sorted(days) == ["2026-08-01", "2026-08-02", "2026-08-03"]
    assert {run["run_type"] for run in days.values()} == {"backfill"}
    assert {run["triggering_user_name"] for run in days.values()} == {"admin"}
    newest = days["2026-08-03"]["dag_run_id"]
    tasks = stage.rest.call("GET", f"/dags/{FLEET}/dagRuns/{newest}/taskInstances")["task_instances"]
    named = [task["rendered_map_index"] for task in tasks if task["task_id"] == "export_project"]
    assert sorted(named) == ["acme/project-2: started", "acme/tools/project-1: started"]

    page.goto(f"{stage.airflow.url}/dags/{FLEET}/runs/{newest}/tasks/export_project/mapped")
    page.get_by_text("acme/tools/project-1: started").first.wait_for()


def fill_in(page: Any, start: str, end: str, projects: str) -> None:
    """Open the form, choose to backfill, and fill in dates and projects.

    Airflow 3.3 sends the params only if the last box is ticked, also for new runs.
    """
    page.get_by_role("button", name="Trigger").first.click()
    form = page.locator("[role=dialog][data-state=open]").first
    form.get_by_text("Run this Dag for a range of dates").click()
    for number, date in enumerate((start, end)):
        form.get_by_test_id("datetime-input").nth(number).click()
        page.get_by_placeholder("YYYY/MM/DD").fill(date)
        page.get_by_placeholder("HH:mm").fill("00:00")
        page.keyboard.press("Escape")
    form.locator("textarea[name=element_projects]").fill(projects)
    form.locator("input[name=max_active_runs]").fill("3")
    form.get_by_text("Override parameters on existing runs").click()
