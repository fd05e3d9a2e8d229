"""Links from Airflow to the page `Project exports`: from a task in the grid, and from a notice."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from airflow.sdk import BaseOperatorLink
from airflow.sdk.configuration import conf

_PAGE = "project-exports"


def page_url() -> str | None:
    """Return the URL of the page, without a slash at the end; None if `[api] base_url` is not set."""
    base = conf.get("api", "base_url", fallback=None)
    return f"{base.rstrip('/')}/{_PAGE}" if base else None


class ExportLink(BaseOperatorLink):
    """Links to the job of the task's run."""

    @property
    def name(self) -> str:
        """The text of the link."""
        return "Export"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the URL of the page that shows the run's job, or why it has none."""
        return run_url(ti_key.dag_id, ti_key.run_id)


class RunLink(BaseOperatorLink):
    """Links to the job of the run that the task has triggered."""

    @property
    def name(self) -> str:
        """The text of the link."""
        return "Export"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the URL of the page that shows the job; empty if the task has not come so far."""
        run_id = getattr(operator, "run_id", None)
        return run_url("export_project", run_id) if run_id else ""


def run_url(dag_id: str, run_id: str) -> str:
    """Return the URL of the page that shows a run's job, or why it has none."""
    return f"{page_url() or f'/{_PAGE}'}/run?{urlencode({'dag_id': dag_id, 'run_id': run_id})}"
