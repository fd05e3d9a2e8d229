"""Registers the page `Project exports`, its tab on runs, the API of GitLab's clients, and a timetable."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from project_export.airflow.timetable import BackfillTimetable
from project_export.airflow.web.lazy import LazyApp

_PAGE = "project-exports"


class ProjectExportPlugin(AirflowPlugin):
    """The page and the API, each built at its first request, and the timetable."""

    name = "project_export"
    timetables = [BackfillTimetable]  # noqa: RUF012 (Airflow's own form)
    fastapi_apps = [  # noqa: RUF012
        {
            # Before the page, which would take this prefix, too.
            "app": LazyApp("project_export.airflow.web.gitlab", "sources_app"),
            "url_prefix": f"/{_PAGE}/sources",
            "name": "GitLab's export API for further sources",
        },
        {
            "app": LazyApp("project_export.airflow.web.page", "app"),
            "url_prefix": f"/{_PAGE}",
            "name": "Project exports",
        },
        {
            "app": LazyApp("project_export.airflow.web.gitlab", "app"),
            "url_prefix": "/api/v4",
            "name": "GitLab's export API",
        },
    ]
    external_views = [  # noqa: RUF012
        {
            "name": "Project exports",
            "href": f"{_PAGE}/",
            "destination": "nav",
            "category": "browse",
            "url_route": _PAGE,
        },
        {
            "name": "Project export",
            "href": f"{_PAGE}/run?dag_id={{DAG_ID}}&run_id={{RUN_ID}}",
            "destination": "dag_run",
            "url_route": "project-export",
        },
    ]
