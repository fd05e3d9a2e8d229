"""The fields of a request that clients send in several forms: as JSON, as a form, in the query, or not at all."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from fastapi import Request

from project_export.airflow.web.gitlab.replies import said

_NESTED = re.compile(r"(\w+)\[(\w+)\]")
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")

_UPLOAD = {
    "type": ["object", "null"],
    "properties": {
        "url": {"type": "string", "format": "uri", "description": "Where the archive is sent when it is complete."},
        "http_method": {"type": "string", "enum": ["PUT", "POST"], "default": "PUT"},
    },
    "required": ["url"],
}
_DESCRIPTION = {
    "type": ["string", "null"],
    "maxLength": 2000,
    "description": "Replaces the project's description in the archive.",
}
FIELDS: dict[str, Any] = {
    "requestBody": {
        "content": {
            "application/json": {
                "schema": {"type": ["object", "null"], "properties": {"description": _DESCRIPTION, "upload": _UPLOAD}}
            },
            _FORMS[0]: {
                "schema": {
                    "type": "object",
                    "properties": {
                        "description": {**_DESCRIPTION, "type": "string"},
                        "upload[url]": _UPLOAD["properties"]["url"],  # type: ignore[index]
                        "upload[http_method]": _UPLOAD["properties"]["http_method"],  # type: ignore[index]
                    },
                }
            },
        }
    }
}
"""The fields of a new export, for the OpenAPI document."""


async def given(request: Request) -> dict[str, Any]:
    """Return the fields of a request by name, those of the body before those of the query. Raises Refused 400."""
    fields = _nested(request.query_params.multi_items())
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in _FORMS:
        async with request.form() as form:
            return {**fields, **_nested(form.multi_items())}
    body = (await request.body()).strip()
    if not body:
        return fields
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise said(400, "400 Bad request: the body is not JSON") from error
    if content is None:
        return fields
    if not isinstance(content, dict):
        raise said(400, "400 Bad request: the body is not a JSON object")
    return {**fields, **content}


def _nested(items: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return the fields of a form, `a[b]` as an object.

    >>> _nested([("description", "x"), ("upload[url]", "u"), ("upload[http_method]", "PUT")])
    {'description': 'x', 'upload': {'url': 'u', 'http_method': 'PUT'}}
    """
    fields: dict[str, Any] = {}
    for name, value in items:
        match = _NESTED.fullmatch(name)
        if match is None:
            fields[name] = value
        else:
            group = fields.get(match[1])
            fields[match[1]] = {**(group if isinstance(group, dict) else {}), match[2]: value}
    return fields
