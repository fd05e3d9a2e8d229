"""Modules that the scheduler imports once, so that the task processes it forks need not import them each time.

Airflow imports this file in every component; only the scheduler forks tasks (LocalExecutor). Nothing of this project is
loaded here: a developer's edit has to reach the next task without a restart of the scheduler.
"""

from __future__ import annotations

import sys
from importlib import import_module

# Airflow copies every name listed here, or every public one where there is no list, over its own settings.
__all__: list[str] = []

if "scheduler" in sys.argv:
    for _name in (
        "airflow.providers.postgres.hooks.postgres",
        "airflow.sdk.bases.decorator",
        "airflow.sdk.bases.sensor",
        "airflow.sdk.execution_time.task_runner",
        "isal.isal_zlib",
        "psycopg",
        "pydantic_settings",
        "sqlalchemy.dialects.postgresql.psycopg",
        "sqlalchemy.orm",
        "upath",
        "yaml",
    ):
        import_module(_name)
