"""HTML from templates. All that a template prints is escaped, unless it is a template's own."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from project_export.airflow.web.views import words

_TEMPLATES = Environment(
    loader=PackageLoader("project_export.airflow.web"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters |= {
    "age": words.age,
    "count": words.count,
    "duration": words.duration,
    "exact": words.exact,
    "instant": words.instant,
    "percent": words.percent,
    "size": words.size,
    "speed": words.speed,
}
_TEMPLATES.globals["parts"] = _TEMPLATES.get_template("_parts.html").module


def html(template: str, *, root: str, status: int = 200, **values: Any) -> HTMLResponse:
    """Return a template as a response.

    root: the relative URL of the page's start, from where the browser is. Links have to be relative, because the base
    URL of Airflow may have a path.
    """
    return HTMLResponse(_TEMPLATES.get_template(template).render(root=root, status=status, **values), status)


def root_of(request: Request) -> str:
    """Return the relative URL of the page's start from the URL of a request.

    It goes up one folder for each slash below the start: ./ from /start, ../ from /jobs/7.
    """
    inside = request.url.path.removeprefix(request.scope.get("root_path", ""))
    return "../" * (inside.count("/") - 1) or "./"


def is_fragment(request: Request) -> bool:
    """Return whether htmx asks, which puts the answer into a page that is shown already."""
    return "hx-request" in request.headers
