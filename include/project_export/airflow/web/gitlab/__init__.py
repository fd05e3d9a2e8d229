"""The API of GitLab's clients, mounted at /api/v4: what they need to export a project, and what they look up around it.

asked      projects, namespaces, pages and limits, as requests name them
given      the fields of a request in any of the forms that clients send
lookups    the SQL of lookups
paths      paths as they were sent
roots      the roots of the API for the other sources
replies    responses and refusals in GitLab's form
shown      fields of responses
status     the state of a project's exports in GitLab's words
exports, relations, projects, users, lists, document: the routes

Words of GitLab's API are only used here.
"""

from project_export.airflow.web.gitlab.build import app
from project_export.airflow.web.gitlab.roots import sources_app

__all__ = ["app", "sources_app"]
