"""Links of a task in the grid that tell runs apart: a task cannot set the note of a run that exists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from airflow.sdk import BaseOperatorLink


class ExportLink(BaseOperatorLink):
    """Leads to the task, and says in the address what the run is about.

    The operator keeps it as `about`: project and its title, job, outcome, archive and omissions, or until when it can
    be resumed.
    """

    @property
    def name(self) -> str:
        """The text of the link."""
        return "Export"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the address of the task's page, with what the operator knows as its query."""
        about: Mapping[str, Any] = getattr(operator, "about", {})
        query = urlencode({name: value for name, value in about.items() if value is not None}, safe=":/")
        base = str(ti_key.log_url)
        return f"{base}{'&' if '?' in base else '?'}{query}" if query else base
