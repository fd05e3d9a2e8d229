"""The validated request of an export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import Any, Literal, get_args

from project_export.errors import BadRequest, nearest
from project_export.ledger import Mode
from project_export.send import Url, shown
from project_export.settings import Consistency
from project_export.tree import Parameter, Tree
from project_export.tree.parameters import RESERVED

IfRunning = Literal["fail", "join", "wait"]
AfterExport = Literal["notify", "none", "upload"]
_METHODS = ("PUT", "POST")
_TIMES = ("window_start", "window_end")


@dataclass(frozen=True)
class Request:
    """The request of an export.

    relations: names of top-level relations, all if empty; the root's record is always exported.
    consistency: None means the setting.
    if_running: what to do while another run exports the project: fail, join that run, or wait (the step fails, and the
    caller waits). fail_fast: whether the first relation that fails for good cancels all others.
    after_export: what to do with the archive. upload_url, upload_http_method: the target of an upload.
    mode, window_start, window_end: the whole project, or what changed in a window; see `ledger.Job`.
    parameters: values of the tree's parameters by name; None keeps the source's own values.
    """

    project_id: int
    relations: tuple[str, ...] = ()
    consistency: Consistency | None = None
    if_running: IfRunning = "fail"
    fail_fast: bool = False
    after_export: AfterExport = "notify"
    upload_url: str | None = field(default=None, repr=False)
    upload_http_method: str = "PUT"
    mode: Mode = "full"
    window_start: datetime | None = None
    window_end: datetime | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_params(cls, params: Mapping[str, Any], tree: Tree) -> Request:
        """Return the request for params of a form, a REST call or a command; they include the tree's parameters.

        Raises BadRequest, which names what is valid.
        """
        valid = [*RESERVED, *tree.parameters]
        for name in params:
            if name not in valid:
                raise BadRequest(f"parameter {name} is unknown; {nearest(name, valid)}")
        project_id = params.get("project_id")
        if not isinstance(project_id, int) or isinstance(project_id, bool):
            raise BadRequest(f"project_id must be an integer; got {project_id!r}")  # 1.0 too, an integer in JSON Schema
        if not 0 < project_id < 1 << 63:
            raise BadRequest(f"project_id must be positive and fit into 64 bits; got {project_id}")
        relations = params.get("relations")
        relations = () if relations is None else relations
        if not isinstance(relations, (list, tuple)) or not all(isinstance(name, str) for name in relations):
            raise BadRequest(f"relations must be a list of names; got {relations!r}")
        names = tree.extended().exported
        for name in relations:
            if name not in names:
                raise BadRequest(f"relation {name} is unknown; {nearest(name, names)}")
        consistency = params.get("consistency")
        if consistency not in (None, "relation", "project"):
            raise BadRequest(f"consistency must be relation or project; got {consistency!r}")
        fail_fast = params.get("fail_fast") or False
        if not isinstance(fail_fast, bool):
            raise BadRequest(f"fail_fast must be true or false; got {fail_fast!r}")
        return cls(
            project_id,
            tuple(dict.fromkeys(relations)),
            consistency,
            _one_of(params, "if_running", get_args(IfRunning)),
            fail_fast,
            *_after_export(params),
            *_window(params),
            parameters={name: _given(params, declared) for name, declared in tree.parameters.items()},
        )

    def kept(self) -> dict[str, Any]:
        """Return what a job keeps of its request: everything but the secrets of the URL."""
        kept = {**asdict(self), "upload_url": self.upload_url and shown(self.upload_url)}
        kept |= {name: kept[name] and kept[name].isoformat() for name in _TIMES}
        return {**kept.pop("parameters"), **kept}


def _given(params: Mapping[str, Any], declared: Parameter) -> Any:
    """Return the value of a parameter of the tree; an empty text counts as not given."""
    value = params.get(declared.name)
    if value is None or value == "":
        return declared.default
    if fault := declared.fault(value):
        raise BadRequest(fault)
    return value


def _after_export(params: Mapping[str, Any]) -> tuple[Any, str | None, Any]:
    after_export = _one_of(params, "after_export", get_args(AfterExport))
    url = params.get("upload_url") or None
    if url is not None and not isinstance(url, str):
        raise BadRequest("upload_url must be a string")
    if after_export == "upload" and url is None:
        raise BadRequest("after_export=upload needs an upload_url")
    if after_export != "upload" and url is not None:
        raise BadRequest("upload_url is for after_export=upload only")
    if url is not None:
        Url.parse(url)
    return after_export, url, _one_of(params, "upload_http_method", _METHODS)


def _window(params: Mapping[str, Any]) -> tuple[Any, datetime | None, datetime | None]:
    mode = _one_of(params, "mode", get_args(Mode))
    start, end = (_time(params, name) for name in _TIMES)
    if mode == "full" and (start or end):
        raise BadRequest("window_start and window_end are for mode=changes only")
    if mode == "changes" and not (start and end):
        raise BadRequest("mode=changes needs window_start and window_end")
    if start and end and start >= end:
        raise BadRequest(f"window_start must be before window_end; got {start.isoformat()} and {end.isoformat()}")
    return mode, start, end


def _time(params: Mapping[str, Any], name: str) -> datetime | None:
    """Return a param that is a time, in UTC; None if it is not given."""
    value = params.get(name) or None
    if value is None:
        return None
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise BadRequest(f"{name} must be a time with its zone, such as 2026-11-28T00:00:00Z; got {value!r}")
    return time.astimezone(timezone.utc)


def _one_of(params: Mapping[str, Any], name: str, valid: Sequence[str]) -> Any:
    """Return a param that must be one of the valid words; the first of them if it is not given."""
    value = params.get(name)
    if value is None:
        return valid[0]
    if value not in valid:
        raise BadRequest(f"{name} must be one of {', '.join(valid)}; got {value!r}")
    return value
