"""Values that Ruby stores as text: positions and diffs of notes, parameters of merges.

diff_note.rb, legacy_diff_note.rb, concerns/notes/discussion.rb, merge_request.rb
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import yaml

from tests.reader.database import Database, Row
from tests.reader.ruby import Symbol, Tagged, as_json, read_inspected_hash, read_yaml

# lib/gitlab/diff/position.rb and lib/gitlab/diff/formatters
POSITION = "base_sha start_sha head_sha old_path new_path position_type"
POSITION_KEYS = {"image": f"{POSITION} width height x y", "file": POSITION}
TEXT_KEYS = f"{POSITION} old_line new_line line_range"
POSITION_CLASS = "Gitlab::Diff::Position"


def flat(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return what Position#as_json returns: the keys of its type; unknown attributes are dropped, missing ones null."""
    kind = attributes.get("position_type")
    known = type(kind) is str and kind in POSITION_KEYS  # Ruby's `case` does not match a symbol with a text
    found = {key: as_json(attributes.get(key)) for key in (POSITION_KEYS[kind] if known else TEXT_KEYS).split()}
    return found | {"position_type": str(kind) if known else "text"}


def read_position(text: str | None) -> dict[str, Any] | None:
    """Return a DiffNote's position (concerns/diff_positionable_note.rb).

    NULL, an empty text and YAML's nil are Position.new. The inspect form of a Hash is recovered; other text that is not
    YAML is null. JSON, which GitLab never writes, is read as the attributes; GitLab would lose the note.
    """
    if text is None or text == "":
        return flat({})
    try:
        parsed = read_yaml(text)
    except yaml.YAMLError:
        recovered = read_inspected_hash(text)
        return None if recovered is None else flat(recovered)
    if parsed is None:
        return flat({})
    if isinstance(parsed, Tagged) and parsed.tag == POSITION_CLASS:
        attributes = parsed.content.get("attributes") or {}
        return flat({str(key): content for key, content in attributes.items() if isinstance(key, Symbol)})
    try:
        attributes = json.loads(text)
    except ValueError:
        return None
    return flat(attributes) if isinstance(attributes, dict) else None


def position(_: Database, row: Row, key: str) -> Any:
    """Only DiffNote decodes positions; for other notes the value is the stored text."""
    return read_position(row[key]) if row["type"] == "DiffNote" else row[key]


def st_diff(_: Database, row: Row, key: str) -> Any:
    """Only LegacyDiffNote decodes st_diff, from any class; NULL is null."""
    if row["type"] != "LegacyDiffNote" or row[key] is None:
        return row[key]
    return as_json(read_yaml(row[key]))


def discussion_id(_: Database, row: Row, key: str) -> str:
    """GitLab generates a random SHA1 for NULL; here it is that of the note's id, the same in every export."""
    return hashlib.sha1(str(row["id"]).encode()).hexdigest() if row[key] is None else row[key]


def merge_params(_: Database, row: Row, key: str) -> dict[str, Any]:
    """A merge request decodes a Hash: NULL, '' and nil are {}.

    With any other text GitLab loses the batch; here it is {} too.
    """
    try:
        parsed: Any = read_yaml(row[key] or "")
    except yaml.YAMLError:
        parsed = None
    return as_json(parsed) if isinstance(parsed, dict) else {}
