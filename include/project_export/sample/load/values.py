"""The value of a key as it stands in an archive → what its column holds: the inverse of the export's forms.

Functions raise ValueError, saying what is wrong with the value.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import yaml
from psycopg.types.json import Jsonb

from project_export.errors import nearest
from project_export.sample.schema import Column
from project_export.tree import Enum, Key, exact
from project_export.tree.transforms import read_yaml

_HASH = "!ruby/hash:ActiveSupport::HashWithIndifferentAccess"


def stored(key: Key, column: Column, value: Any, *, transformed: bool) -> Any:
    """Return what psycopg shall write into the column for this value; `transformed`: whether the transform applies."""
    if key.wrap and value is not None:
        if not isinstance(value, dict) or key.wrap not in value:
            raise ValueError(f"not an object with the key {key.wrap}")
        value = value[key.wrap]
    if key.enum:
        return _code(key.enum, value)
    if value is None:
        return None
    if key.transform and transformed:
        value = INVERSES[key.transform](value)
    return _typed(column.type, value)


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


def write_json(value: Any) -> str:
    """Write JSON text, as in notes.position."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def write_yaml(value: Any) -> str:
    """Write YAML as Rails does for a serialised attribute, e.g. merge_requests.merge_params.

    >>> write_yaml({"force_remove_source_branch": "1"})
    "--- !ruby/hash:ActiveSupport::HashWithIndifferentAccess\\nforce_remove_source_branch: '1'\\n"
    """
    body = yaml.dump(value, Dumper=yaml.SafeDumper, sort_keys=False, default_flow_style=False)
    head = f"--- {_HASH}" if isinstance(value, dict) else "---"
    gap = "\n" if isinstance(value, (dict, list)) and value else " "
    text = f"{head}{gap}{body}"
    if json.loads(exact.write(read_yaml(text))) != value:
        raise ValueError(
            f"{write_json(value)[:80]} does not come back from YAML; Ruby symbols cannot be told from texts"
        )
    return text


def encode_base64(value: Any) -> str:
    """Encode a text as GitLab stores the diff of a file that is not text."""
    return base64.b64encode(bytes(value, "utf-8")).decode("ascii")


INVERSES: dict[str, Callable[[Any], Any]] = {
    "base64_text": encode_base64,
    "json_or_yaml": write_json,
    "yaml": write_yaml,
}
"""By the name of the transform in the tree; a value whose transform is not here is derived and not stored."""
