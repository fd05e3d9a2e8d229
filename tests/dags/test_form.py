"""The trigger form in a browser, as an operator meets it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tests.dags.stage import DAG_ID, Stage

SECONDS = 30


@pytest.fixture(scope="module")
def page(stage: Stage) -> Iterator[Any]:
    """A browser's page whose user is logged in."""
    api = pytest.importorskip(
        "playwright.sync_api", reason="no browser tests without playwright: pip install .[browser]"
    )
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no browser tests: there is no chromium")
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        page = browser.new_page()
        page.set_default_timeout(SECONDS * 1000)
        page.goto(stage.airflow.url)
        page.locator("input[name=username]").fill("admin")
        page.locator("input[name=password]").fill(stage.airflow.password("admin"))
        page.locator("input[name=password]").press("Enter")
        page.wait_for_url(lambda url: "login" not in url)
        yield page
        browser.close()


@pytest.fixture
def form(page: Any, stage: Stage) -> Any:
    """The form, just opened."""
    page.goto(f"{stage.airflow.url}/dags/{DAG_ID}")
    page.get_by_role("button", name="Trigger").first.click()
    form = page.locator("[role=dialog][data-state=open]")
    form.get_by_text("Project id").wait_for()
    return form


def test_nothing_can_be_triggered_without_a_project(form):
    assert not submit(form).is_enabled()
    assert "This field is required" in form.inner_text()


def test_the_form_says_what_is_asked_for(form):
    text = form.inner_text()
    for words in (
        "Id of the project in the source database",
        "Empty: everything",
        "Replaces the project's description in the archive",
        "project: one snapshot for all relations",
    ):
        assert words in text


def test_a_number_that_is_not_positive_is_refused_and_not_changed(form, stage):
    before = [run.id for run in stage.runs()]
    for number in ("0", "-4"):
        field(form).fill(number)
        field(form).blur()
        submit(form).press("Enter")
        form.get_by_text("Invalid input for param project_id", exact=False).first.wait_for()
        form.get_by_text(f"{number} is less than or equal to the minimum of 0", exact=False).first.wait_for()
        assert field(form).input_value() == number
    assert [run.id for run in stage.runs()] == before


def test_what_is_filled_in_is_what_is_asked_for(form, stage):
    before = {run.id for run in stage.runs()}
    field(form).fill("999998")
    chooser = form.get_by_role("combobox").first
    chooser.fill("protected_tags")
    chooser.press("Enter")
    submit(form).press("Enter")
    form.wait_for(state="detached")
    (run,) = [run for run in stage.runs() if run.id not in before]
    asked = {"project_id": 999_998, "relations": ["protected_tags"], "description": None, "consistency": "project"}
    conf = run.get()["conf"]
    assert {name: conf[name] for name in asked} == asked


def field(form: Any) -> Any:
    return form.get_by_role("spinbutton").first


def submit(form: Any) -> Any:
    return form.get_by_test_id("trigger-dag-submit")
