"""A browser whose user has logged in to a real Airflow."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.dags.stage import Stage

SECONDS = 30
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]

Login = Callable[..., Any]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A running browser."""
    api = pytest.importorskip("playwright.sync_api", reason="no browser tests: pip install .[browser]")
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no browser tests: there is no chromium")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def login(chromium: Any, stage: Stage) -> Iterator[Login]:
    """Log a user in; return a page of the browser that fails the test if the page violates its own policy or raises.

    dark: the theme that the user has chosen in Airflow. width: of the window, in pixels.
    """
    wrong: list[str] = []
    with ExitStack() as closing:

        def log_in(user: str = "op", *, dark: bool = False, width: int = 1280) -> Any:
            context = chromium.new_context(viewport={"width": width, "height": 900}, accept_downloads=True)
            closing.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(SECONDS * 1000)
            page.goto(stage.airflow.url)
            page.locator("input[name=username]").fill(user)
            page.locator("input[name=password]").fill(stage.airflow.password(user))
            page.locator("input[name=password]").press("Enter")
            page.wait_for_url(lambda url: "login" not in url)
            page.evaluate("theme => localStorage.setItem('theme', theme)", "dark" if dark else "light")
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on("console", lambda said: wrong.append(said.text) if "Content Security Policy" in said.text else None)
            return page

        yield log_in
        assert wrong == []
