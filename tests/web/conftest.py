"""The fixtures of tests of the page and the API."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from project_export.ledger import Ledger, make_engine, upgrade
from project_export.settings import Settings
from project_export.steps import Context
from tests.runs import context
from tests.web.api import Api, mounted
from tests.web.jobs import JobsOf
from tests.web.page import Page


@pytest.fixture(scope="session", autouse=True)
def apart(airflow_home: None) -> None:
    """Every test here imports from Airflow."""


@pytest.fixture(scope="session")
def empty_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger without jobs, to be copied."""
    file = tmp_path_factory.mktemp("ledger") / "ledger.sqlite"
    engine = make_engine(f"sqlite:///{file}")
    upgrade(engine)
    engine.dispose()
    return file


@pytest.fixture
def ctx(tmp_path: Path, empty_ledger: Path) -> Iterator[Context]:
    """The steps' context with an empty ledger; the source cannot be reached."""
    engine = make_engine(f"sqlite:///{shutil.copy(empty_ledger, tmp_path)}")
    settings = Settings(store=(tmp_path / "store").as_uri(), gitlab_version="18.6.0", gitlab_revision="x")
    yield Context(settings, Ledger(engine), "main", lambda: pytest.fail("the source was opened"))
    engine.dispose()


@pytest.fixture
def jobs(ctx: Context) -> JobsOf:
    """What writes jobs into the ledger."""
    return JobsOf(ctx.ledger)


@cache
def _page_app() -> Any:
    """Build the app once: that takes longer than most tests."""
    from project_export.airflow.web import page

    return page.app()


@pytest.fixture
def page(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    """The page for a user who may do everything."""
    from fastapi.testclient import TestClient

    from project_export.airflow.web import access
    from project_export.airflow.web.callers import Caller, page_caller
    from project_export.airflow.web.pages import parts
    from project_export.airflow.web.server import context

    app = _page_app()
    app.dependency_overrides.clear()
    shown = Page(TestClient(app, base_url="http://airflow.test", raise_server_exceptions=False), ctx)

    class Airflow:
        """Airflow's API; it answers what the test says."""

        async def _answer(self, name: str, *arguments: Any) -> Any:
            shown.called.append((name, *arguments))
            answer = shown.answers.get(name)
            if isinstance(answer, Exception):
                raise answer
            return answer

        def __getattr__(self, name: str) -> Any:
            return lambda *arguments: self._answer(name, *arguments)

    monkeypatch.setattr(access, "may", lambda caller, action: action.name in shown.allowed)
    monkeypatch.setattr(parts, "may", access.may)
    app.dependency_overrides[page_caller] = lambda: Caller("jane", object())
    app.dependency_overrides[context] = lambda: ctx
    app.dependency_overrides[parts.airflow_of] = Airflow
    app.dependency_overrides[parts.goes_on] = lambda: shown.goes_on
    app.dependency_overrides[parts.is_gone] = lambda: shown.gone
    yield shown


@pytest.fixture
def api(generated: str, ledger_dsn: str, tmp_path: Path) -> Iterator[Api]:
    """The API over the generated sample, below a base path, with limits that no test reaches by chance."""
    more = {"api_exports_per_minute": 100, "api_downloads_per_minute": 100}
    with mounted(context(generated, ledger_dsn, tmp_path / "store", units=1, **more), "/base") as api:
        yield api
