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
        query = urlencode({"dag_id": ti_key.dag_id, "run_id": ti_key.run_id})
        return f"{page_url() or f'/{_PAGE}'}/run?{query}"
