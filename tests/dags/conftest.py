"""One Airflow for the whole test run: one worker runs every module here (see `Together`)."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from dev.postgres import Server
from tests.dags.stage import Stage
from tests.receiver import receiving


@pytest.fixture(scope="session", autouse=True)
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep what is imported from Airflow here from making files in the home folder."""
    os.environ["AIRFLOW_HOME"] = str(tmp_path_factory.mktemp("airflow-home"))
    import airflow  # noqa: F401 - it replaces the handlers of the root logger, which must not be those of caplog


@pytest.fixture(scope="package")
def stage(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A running Airflow; it stops after the last test here, so that the others have the machine to themselves."""
    with receiving() as receiver:
        stage = Stage(tmp_path_factory.mktemp("stage"), server, receiver)
        try:
            stage.start()
            yield stage
        finally:
            stage.stop()
