"""Modules that the scheduler imports once, so that the task processes it forks do not have to import them.

Airflow imports this file in every component, but only the scheduler forks tasks (LocalExecutor). The project itself is
only loaded here if PROJECT_EXPORT_PRELOAD is set, because a developer's edit must reach the next task without a restart
of the scheduler.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module

# Airflow copies every name in this list, or every public name if there is no list, over its own settings.
__all__: list[str] = []

_PROJECT = ("project_export.airflow.context", "project_export.airflow.operators", "project_export.airflow.after")

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
        *(_PROJECT if os.environ.get("PROJECT_EXPORT_PRELOAD") else ()),
    ):
        import_module(_name)
