"""`make screenshots`: export a sample through a real Airflow, and take pictures of the page for README.md and docs/."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from dev.airflow import REPO
from dev.demo import STATE
from dev.rest import Rest
from dev.stack import DAG_ID, Stack, StackError
from project_export.ledger import Job, Ledger, make_engine

IMAGES = REPO / "docs" / "images"
SCALE, RUN_SECONDS, SECONDS = 25.0, 300.0, 60
WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 400, "height": 800}
USER = "op"
SETTINGS = {
    "PROJECT_EXPORT_UNIT_COST": "2000",
    "PROJECT_EXPORT_PRELOAD": "1",
    "PROJECT_EXPORT_SNAPSHOT_GRACE_SECONDS": "5",
}


def main() -> int:
    """Write the images and return the exit code."""
    stack = Stack(STATE / "screenshots", print, SETTINGS)
    with stack.locked():
        try:
            stack.start()
            stack.make_sample(SCALE)
            _take(stack)
        finally:
            stack.stop()
    return 0


def _take(stack: Stack) -> None:
    url, rest, ledger = stack.airflow.url, stack.airflow.rest(USER), Ledger(make_engine(stack.ledger_uri))
    finished = _exported(rest, ledger, 1, "success")
    with _without_boards(stack):
        failed = _exported(rest, ledger, 2, "failed")
    with _browser() as browser, psycopg.connect(stack.postgres.uri("sample")) as connection:
        connection.execute("LOCK TABLE label_priorities")  # the next export is running until this connection is closed
        rest.trigger(DAG_ID, {"project_id": 1})
        page = _logged_in(browser, url, stack.airflow.password(USER), "light", WIDE)
        page.goto(f"{url}/plugin/project-exports")
        running = page.frame_locator("iframe").locator(".state-running")
        running.wait_for()
        page.frame_locator("iframe").locator("progress").nth(2).wait_for()
        page.wait_for_timeout(8000)  # the running job is seen in its middle
        _shot(page, "exports")
        page.goto(f"{url}/project-exports/jobs/{finished.id}")
        page.locator("#contents-found table").first.wait_for(state="attached")
        _shot(page, "job", whole=True)
        dark = _logged_in(browser, url, stack.airflow.password(USER), "dark", NARROW)
        dark.goto(f"{url}/project-exports/jobs/{failed.id}")
        _shot(dark, "failed")


def _exported(rest: Rest, ledger: Ledger, project_id: int, expected: str) -> Job:
    run_id = rest.trigger(DAG_ID, {"project_id": project_id})
    if rest.wait_for_run(DAG_ID, run_id, RUN_SECONDS) != expected:
        raise StackError(f"The run {run_id} did not end as {expected}: {rest.task_errors(DAG_ID, run_id)}")
    job = ledger.queries.job_of_run(f"{DAG_ID}/{run_id}")
    assert job is not None
    return job


@contextmanager
def _without_boards(stack: Stack) -> Iterator[None]:
    """Let the role that exports read every table but one."""
    with psycopg.connect(stack.postgres.uri("sample"), autocommit=True) as connection:
        connection.execute(
            "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader; REVOKE SELECT ON boards FROM reader;"
            "REVOKE pg_read_all_data FROM reader"
        )
        try:
            yield
        finally:
            connection.execute("GRANT pg_read_all_data TO reader")


@contextmanager
def _browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def _logged_in(browser: Any, url: str, password: str, theme: str, size: dict[str, int]) -> Any:
    page = browser.new_context(viewport=size, color_scheme=theme, timezone_id="UTC").new_page()
    page.set_default_timeout(SECONDS * 1000)
    page.goto(url)
    page.locator("input[name=username]").fill(USER)
    page.locator("input[name=password]").fill(password)
    page.locator("input[name=password]").press("Enter")
    page.wait_for_url(lambda shown: "login" not in shown)
    page.evaluate("theme => localStorage.setItem('theme', theme)", theme)
    return page


def _shot(page: Any, name: str, *, whole: bool = False) -> None:
    path = IMAGES / f"{name}.png"
    page.screenshot(path=path, full_page=whole)
    print(f"Wrote {path}.")


if __name__ == "__main__":
    sys.exit(main())
