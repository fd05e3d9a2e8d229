"""What responses look like: their fields, and for the OpenAPI document their models and refusals."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from project_export.airflow.web.gitlab import status
from project_export.airflow.web.gitlab.lookups import Namespace, Project

_VISIBILITY: Mapping[int | None, str] = {0: "private", 10: "internal", 20: "public"}
_KINDS: Mapping[str | None, str] = {"Group": "group", "User": "user", None: "user"}


class Links(BaseModel):
    """Where the archive is."""

    api_url: str
    web_url: str


class Identity(BaseModel):
    """What every response about a project says of it."""

    id: int
    description: str | None
    name: str
    name_with_namespace: str
    path: str
    path_with_namespace: str
    created_at: str | None


class ExportStatus(Identity):
    """The status of a project's newest export."""

    model_config = ConfigDict(populate_by_name=True)

    export_status: str = Field(json_schema_extra={"enum": list(status.STATUSES)})
    export_error: str = Field("", description="Why the export failed; only with the status `failed`.")
    links: Links | None = Field(None, alias="_links", description="Only with the status `finished`.")


class ShownNamespace(BaseModel):
    """A namespace."""

    id: int
    name: str
    path: str
    kind: str
    full_path: str
    parent_id: int | None


class ShownProject(Identity):
    """A project."""

    namespace: ShownNamespace | None
    archived: bool = False
    visibility: str = "private"


class Group(BaseModel):
    """A group."""

    id: int
    name: str
    path: str
    full_name: str
    full_path: str
    parent_id: int | None


class User(BaseModel):
    """The caller."""

    id: int
    username: str
    name: str
    state: str


class Version(BaseModel):
    """The version of the source."""

    version: str
    revision: str


class Batch(BaseModel):
    """One part of a relation."""

    status: int
    batch_number: int
    objects_count: int
    error: str | None
    updated_at: str


class RelationStatus(BaseModel):
    """The status of one relation. status: -2 pending, 0 started, 1 finished, -1 failed."""

    relation: str
    status: int
    error: str | None
    updated_at: str
    batched: bool
    batches_count: int
    total_objects_count: int
    batches: list[Batch] = []


class Message(BaseModel):
    """An answer in words."""

    message: Any = None
    error: str | None = None


def _refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    words = {
        400: "A parameter is wrong.",
        401: "The token is missing, unknown, expired or revoked.",
        403: "Airflow does not allow it.",
        404: "It does not exist, or the caller may not see it.",
        413: "The request is too large.",
        429: "Too many requests; `Retry-After` has the seconds to wait.",
        502: "Airflow failed.",
        503: "A database or the store does not answer.",
    }
    return {number: {"model": Message, "description": words[number]} for number in statuses}


_BINARY = {"schema": {"type": "string", "format": "binary"}}

REFUSES = _refusals(400, 401, 403, 404, 503)
ACCEPTS = {202: {"model": Message, "description": "Started, or running already."}} | _refusals(
    400, 401, 403, 404, 413, 429, 502, 503
)
DOWNLOADS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file.", "content": {"application/gzip": _BINARY}},
    206: {"description": "A range of the file.", "content": {"application/gzip": _BINARY}},
    302: {"description": "The file is at this URL of the store."},
    304: {"description": "The client has the file already."},
    412: {"description": "The file has changed."},
    416: {"description": "The file has no such range."},
    **_refusals(400, 401, 403, 404, 429, 503),
}


def instant(time: datetime | None) -> str | None:
    """Return a time as GitLab writes it; one without a zone is in UTC.

    >>> instant(datetime(2026, 11, 27, 15, 4, 5, 678901))
    '2026-11-27T15:04:05.678Z'
    """
    if time is None:
        return None
    utc = time if time.tzinfo is None else time.astimezone(timezone.utc)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03}Z"


def identity(project: Project) -> dict[str, Any]:
    """Return the fields of `Identity`."""
    above = f"{project.namespace.name} / " if project.namespace else ""
    return {
        "id": project.id,
        "description": project.description,
        "name": project.name,
        "name_with_namespace": f"{above}{project.name}",
        "path": project.path.rpartition("/")[2],
        "path_with_namespace": project.path,
        "created_at": instant(project.created_at),
    }


def shown_project(project: Project, *, simple: bool = False) -> dict[str, Any]:
    """Return the fields of `ShownProject`. simple: without those that only the whole view has."""
    fields = {**identity(project), "namespace": project.namespace and shown_namespace(project.namespace)}
    if not simple:
        fields |= {"archived": bool(project.archived), "visibility": _VISIBILITY.get(project.visibility, "private")}
    return fields


def shown_namespace(namespace: Namespace) -> dict[str, Any]:
    """Return the fields of `ShownNamespace`."""
    return {
        "id": namespace.id,
        "name": _last_name(namespace),
        "path": namespace.path.rpartition("/")[2],
        "kind": _KINDS.get(namespace.kind, "group"),
        "full_path": namespace.path,
        "parent_id": namespace.parent_id,
    }


def shown_group(namespace: Namespace) -> dict[str, Any]:
    """Return the fields of `Group`."""
    return {
        "id": namespace.id,
        "name": _last_name(namespace),
        "path": namespace.path.rpartition("/")[2],
        "full_name": namespace.name,
        "full_path": namespace.path,
        "parent_id": namespace.parent_id,
    }


def _last_name(namespace: Namespace) -> str:
    return namespace.name.rpartition(" / ")[2]
