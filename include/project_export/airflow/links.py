"""Links of a task in the grid that show what its run is about, since a task cannot change the note of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from airflow.sdk import BaseOperatorLink


class ExportLink(BaseOperatorLink):
    """Links to the task; the query of the URL says what the run is about.

    The operator keeps this as `about`: project and its title, job, outcome, archive and omissions, or until when the
    run can be resumed.
    """

    @property
    def name(self) -> str:
        """The text of the link."""
        return "Export"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the URL of the task's page, with the operator's `about` as its query."""
        about: Mapping[str, Any] = getattr(operator, "about", {})
        query = urlencode({name: value for name, value in about.items() if value is not None}, safe=":/")
        base = str(ti_key.log_url)
        return f"{base}{'&' if '?' in base else '?'}{query}" if query else base
