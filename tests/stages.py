"""The one real Airflow of a test run: one worker runs every test that uses it (see `Together`)."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from dev.postgres import Server
from tests.dags.stage import Stage
from tests.datagrams import measured
from tests.receiver import receiving

FOLDERS = ("tests/dags/", "tests/web/real/")
"""Where the tests are that may use it; `conftest` gives them to one worker."""

_running: list[Stage] = []


@pytest.fixture(scope="session")
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep what is imported from Airflow by tests from making files in the home folder."""
    os.environ["AIRFLOW_HOME"] = str(tmp_path_factory.mktemp("airflow-home"))
    import airflow  # noqa: F401 - it replaces the handlers of the root logger, which must not be those of caplog


@pytest.fixture(scope="session")
def stage(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A running Airflow."""
    with receiving() as receiver, measured() as metrics:
        stage = Stage(tmp_path_factory.mktemp("stage"), server, receiver, more=metrics.settings)
        stage.metrics = metrics
        _running.append(stage)
        try:
            stage.start()
            yield stage
        finally:
            _stop()


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Stop Airflow after the last test that may use it, so that the others have the machine to themselves."""
    if nextitem is None or not nextitem.nodeid.startswith(FOLDERS):
        _stop()


def _stop() -> None:
    while _running:
        _running.pop().stop()
