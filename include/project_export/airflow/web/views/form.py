"""The form that starts an export, from the params of the DAG: what Airflow's own form asks for, this one does too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from airflow.sdk import Param

from project_export.airflow.form import export_params
from project_export.errors import BadRequest
from project_export.send import Url

PROJECT = "project"
"""The field that replaces the param `project_id`: it takes a path as well."""

SOURCE = "source"
"""The field that is only there if there are several sources."""

RELATIONS = "relations"
WHICH, CHOSEN = "which", "chosen"
"""The field that says whether only the chosen relations are exported."""

_NOT_ASKED = ("project_id", "if_running")
"""Params without a field. A page shows the job of a project that is being exported already, so nobody has to choose."""

_URL, _AFTER, _UPLOAD = "upload_url", "after_export", "upload"
_FIRST = (RELATIONS, _AFTER, _URL, "upload_http_method")
"""Fields that are shown at once, in this order; all others are below `more`."""

Kind = Literal["choice", "yes", "number", "text", "long", "names"]
_LONG = 200
"""Maximum length from which a text gets several lines."""


@dataclass(frozen=True)
class Field:
    """One field. options: values of a choice, or the names to choose from, with what people read.

    value: what it shows; names: a list of those that are chosen. problem: what is wrong with the value.
    """

    name: str
    kind: Kind
    title: str
    description: str
    value: Any
    options: tuple[tuple[str, str], ...] = ()
    longest: int | None = None
    problem: str = ""


@dataclass(frozen=True)
class Form:
    """The source, if there are several, the fields that are shown at once, and those below `more`."""

    source: Field | None
    first: tuple[Field, ...]
    more: tuple[Field, ...]

    @property
    def opened(self) -> bool:
        """Whether a field below `more` has a problem."""
        return any(field.problem for field in self.more)


def filled_form(given: Mapping[str, Any], problems: Mapping[str, str]) -> Form:
    """Return the form with what was given, as `read` returns it, else defaults, and what is wrong with it by field."""
    return _form(export_params(), given, problems)


def read(data: Mapping[str, Sequence[str]]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the params that a form was filled in with, but for the project, and what is wrong with them by name.

    data: the values of each field, as a browser sends them. What is left empty has the default of its param.
    """
    params: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for name, param in _asked(export_params()).items():
        value = _value(_kind(param), data.get(name, ()))
        if value is None:
            continue
        params[name] = value
        if problem := _problem(param, value):
            problems[name] = problem
    if tuple(data.get(WHICH, ())) == (CHOSEN,):
        if not params.get(RELATIONS):
            problems[RELATIONS] = "Choose at least one relation, or export everything."
    else:
        params.pop(RELATIONS, None)
    if params.get(_AFTER) == _UPLOAD:
        if problem := _url_problem(params.get(_URL)):
            problems[_URL] = problem
    else:
        params.pop(_URL, None)  # its field is hidden then
        problems.pop(_URL, None)
    return params, problems


def _asked(params: Mapping[str, Param]) -> dict[str, Param]:
    return {name: param for name, param in params.items() if name not in _NOT_ASKED}


def _form(params: Mapping[str, Param], given: Mapping[str, Any], problems: Mapping[str, str]) -> Form:
    fields = {
        name: _field(name, param, given.get(name, param.value), problems.get(name, ""))
        for name, param in _asked(params).items()
    }
    source = fields.pop(SOURCE, None)
    more = tuple(field for name, field in fields.items() if name not in _FIRST)
    return Form(source, tuple(fields[name] for name in _FIRST), more)


def _field(name: str, param: Param, value: Any, problem: str) -> Field:
    schema = param.schema
    kind = _kind(param)
    options: tuple[tuple[str, str], ...] = ()
    if kind == "choice":
        shown = schema.get("values_display") or {}
        options = tuple((str(one), shown.get(one, str(one))) for one in schema["enum"])
    elif kind == "names":
        options = tuple((str(one), str(one)) for one in schema.get("examples", ()))
    title, description = schema.get("title") or name, param.description or schema.get("description") or ""
    return Field(name, kind, title, description, value, options, schema.get("maxLength"), problem)


def _kind(param: Param) -> Kind:
    schema = param.schema
    types = schema.get("type", ())
    types = [types] if isinstance(types, str) else types
    if "enum" in schema:
        return "choice"
    if "boolean" in types:
        return "yes"
    if "array" in types:
        return "names"
    if "integer" in types or "number" in types:
        return "number"
    return "long" if _LONG < schema.get("maxLength", 0) <= 10 * _LONG else "text"


def _value(kind: Kind, texts: Sequence[str]) -> Any:
    """Return what a field was filled in with, None if it is empty."""
    if kind == "yes":
        return bool(texts)
    if kind == "names":
        return list(texts)
    text = texts[0].strip() if texts else ""
    if not text:
        return None
    if kind == "number":
        try:
            return int(text)
        except ValueError:
            try:
                return float(text)
            except ValueError:
                return text
    return text


def _problem(param: Param, value: Any) -> str:
    """Return which rule of its schema a value violates; empty if it violates none."""
    schema = param.schema
    if "enum" in schema and value not in schema["enum"]:
        return f"Choose one of {', '.join(map(str, schema['enum']))}."
    kind = _kind(param)
    if kind == "number" and isinstance(value, str):
        return "Enter a number."
    if kind == "names":
        unknown = [name for name in value if name not in schema.get("examples", ())]
        return f"There is no relation {', '.join(unknown)}." if unknown else ""
    longest = schema.get("maxLength")
    if isinstance(value, str) and longest is not None and len(value) > longest:
        return f"Enter at most {longest} characters, not {len(value)}."
    return ""


def _url_problem(url: str | None) -> str:
    if not url:
        return "Enter the URL to upload to."
    try:
        Url.parse(url)
    except BadRequest as error:
        return str(error)
    return ""
