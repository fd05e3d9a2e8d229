"""The value of a key in an archive → the value of its column: the inverse of the export's forms.

Functions raise ValueError with what is wrong with the value.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import yaml
from psycopg.types.json import Jsonb

from project_export.coders import exact
from project_export.coders.general import read_yaml
from project_export.coders.ruby import Indifferent, Instance, Symbol
from project_export.errors import nearest
from project_export.sample.schema import Column
from project_export.tree import Enum, Key
from project_export.trees.gitlab import position

_HASH = "!ruby/hash:ActiveSupport::HashWithIndifferentAccess"


def stored(key: Key, column: Column, value: Any, *, transformed: bool) -> Any:
    """Return what psycopg writes into the column for this value; `transformed`: whether the transform applies."""
    form = key.form
    if key.wrap and value is not None:
        if not isinstance(value, dict) or key.wrap not in value:
            raise ValueError(f"not an object with the key {key.wrap}")
        value = value[key.wrap]
    if form.enum:
        return _code(form.enum, value)
    if value is None:
        return None
    if form.transform and transformed:
        value = INVERSES[form.transform](value)
    return None if value is None else _typed(column.type, value)


def _code(enum: Enum, name: Any) -> int | None:
    codes = {text: code for code, text in enum.names}
    if name is None or isinstance(name, int):
        return name
    if name not in codes:
        raise ValueError(f"{enum.name} has no {name!r}; {nearest(str(name), codes)}")
    return codes[name]


def _typed(kind: str, value: Any) -> Any:
    if kind == "jsonb":
        return Jsonb(value)
    if kind == "bytea":
        return bytes.fromhex(value)
    if isinstance(value, list) != kind.endswith("[]") or isinstance(value, dict):
        raise ValueError(f"{json.dumps(value, ensure_ascii=False)[:80]} is not of the type {kind}")
    return value


class _Dumper(yaml.SafeDumper):
    """Writes symbols, and hashes with indifferent access, as Psych does."""


def _text(dumper: _Dumper, data: str) -> yaml.ScalarNode:
    """Quote a text that begins with a colon, which would be a symbol."""
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style='"' if data.startswith(":") else None)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(Symbol, lambda dumper, data: dumper.represent_scalar("tag:yaml.org,2002:str", f":{data}"))
_Dumper.add_representer(Indifferent, lambda dumper, data: dumper.represent_mapping(_HASH, data))
_Dumper.add_representer(Instance, lambda dumper, data: dumper.represent_mapping(f"!ruby/object:{data.name}", data))


def _dumped(value: Any) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, default_flow_style=False, explicit_start=True)


def write_yaml(value: Any) -> str:
    """Return YAML as Rails writes it for a serialised attribute, e.g. merge_requests.merge_params.

    >>> write_yaml({"force_remove_source_branch": "1"})
    "--- !ruby/hash:ActiveSupport::HashWithIndifferentAccess\\nforce_remove_source_branch: '1'\\n"
    """
    text = _dumped(Indifferent(value) if isinstance(value, dict) else value)
    if json.loads(exact.write(read_yaml(text))) != value:
        raise ValueError(f"{_shortened(value)} cannot be restored from YAML")
    return text


def write_position(value: Any) -> str | None:
    """Return the position of a note as GitLab stores it: YAML of an object, or NULL if all its values are null."""
    if not isinstance(value, dict):
        raise ValueError(f"{_shortened(value)} is not a position")
    if value == position(None):
        return None
    stored = Instance(attributes={Symbol(name): _indifferent(content) for name, content in value.items()})
    stored.name = "Gitlab::Diff::Position"
    text = _dumped(stored)
    if json.loads(exact.write(position(text))) != value:
        raise ValueError(f"{_shortened(value)} cannot be restored from YAML as a position")
    return text


def _indifferent(value: Any) -> Any:
    return Indifferent({k: _indifferent(v) for k, v in value.items()}) if isinstance(value, dict) else value


def _shortened(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)[:80]


def encode_base64(value: Any) -> str:
    """Encode a text as GitLab stores the diff of a file that is not text."""
    return base64.b64encode(bytes(value, "utf-8")).decode("ascii")


INVERSES: dict[str, Callable[[Any], Any]] = {
    "base64_text": encode_base64,
    "position": write_position,
    "yaml": write_yaml,
    "yaml_hash": write_yaml,
}
"""By the name of the transform in the tree; a value with another transform is derived and not stored."""
