"""What every test of Airflow needs: a home of its own for what is imported from Airflow."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session", autouse=True)
def apart(airflow_home: None) -> None:
    """Every test here imports from Airflow."""
