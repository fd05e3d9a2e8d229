"""What every test of Airflow needs: a home of its own for what is imported from Airflow."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(scope="session", autouse=True)
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep what is imported from Airflow here from making files in the home folder."""
    os.environ["AIRFLOW_HOME"] = str(tmp_path_factory.mktemp("airflow-home"))
    import airflow  # noqa: F401 - it replaces the handlers of the root logger, which must not be those of caplog
