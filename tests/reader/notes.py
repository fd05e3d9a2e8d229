"""Notes of everything, and what nests in them (note.rb, diff_note.rb, legacy_diff_note.rb)."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import yaml

from tests.reader.database import Database, Row
from tests.reader.enums import EVENT_ACTION, IMPORT_SOURCE, PUSH_ACTION, REF_TYPE
from tests.reader.ruby import Symbol, Tagged, as_json, read_inspected_hash, read_yaml
from tests.reader.shapes import Getter, Shape, many, named, null_is_column, one
from tests.reader.values import stored

# lib/gitlab/diff/position.rb and lib/gitlab/diff/formatters
POSITION = "base_sha start_sha head_sha old_path new_path position_type"
POSITION_KEYS = {"image": f"{POSITION} width height x y", "file": POSITION}
TEXT_KEYS = f"{POSITION} old_line new_line line_range"
POSITION_CLASS = "Gitlab::Diff::Position"


def position(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return what Position#as_json gives: the keys of its type; unknown attributes are dropped, missing ones null."""
    kind = attributes.get("position_type")
    known = type(kind) is str and kind in POSITION_KEYS  # Ruby's `case` does not match a symbol with a text
    found = {key: as_json(attributes.get(key)) for key in (POSITION_KEYS[kind] if known else TEXT_KEYS).split()}
    return found | {"position_type": str(kind) if known else "text"}


def read_position(text: str | None) -> dict[str, Any] | None:
    """Return a DiffNote's position (concerns/diff_positionable_note.rb).

    NULL, an empty text and YAML's nil are Position.new. The inspect form of a Hash is recovered; other text that is not
    YAML is null. JSON, which GitLab never writes, is read as the attributes: a choice, for GitLab would lose the note.
    """
    if text is None or text == "":
        return position({})
    try:
        parsed = read_yaml(text)
    except yaml.YAMLError:
        recovered = read_inspected_hash(text)
        return None if recovered is None else position(recovered)
    if parsed is None:
        return position({})
    if isinstance(parsed, Tagged) and parsed.tag == POSITION_CLASS:
        attributes = parsed.content.get("attributes") or {}
        return position({str(key): content for key, content in attributes.items() if isinstance(key, Symbol)})
    try:
        attributes = json.loads(text)
    except ValueError:
        return None
    return position(attributes) if isinstance(attributes, dict) else None


def position_of_diff_note(_: Database, row: Row, key: str) -> Any:
    """Only DiffNote has the coder of positions: another note's is the stored text."""
    return read_position(row[key]) if row["type"] == "DiffNote" else row[key]


def st_diff(_: Database, row: Row, key: str) -> Any:
    """Only LegacyDiffNote has the coder of st_diff, without a class: NULL is null."""
    if row["type"] != "LegacyDiffNote" or row[key] is None:
        return row[key]
    return as_json(read_yaml(row[key]))


def discussion_id(_: Database, row: Row, key: str) -> str:
    """GitLab makes up a random SHA1 for NULL; ours is of the note's id, so that every export has the same."""
    return hashlib.sha1(str(row["id"]).encode()).hexdigest() if row[key] is None else row[key]


NOTE_VALUES: dict[str, Getter] = {
    "st_diff": st_diff,
    "position": position_of_diff_note,
    "original_position": position_of_diff_note,
    "change_position": position_of_diff_note,
    "discussion_id": discussion_id,  # concerns/notes/discussion.rb
    "last_edited_at": null_is_column("updated_at"),  # note.rb
}
NOTE_COLUMNS = """
    note noteable_type author_id created_at updated_at project_id line_code commit_id system st_diff updated_by_id type
    position original_position resolved_at resolved_by_id discussion_id change_position resolved_by_push confidential
    last_edited_at
"""

# push_event_payload.rb: commit_from and commit_to are sha attributes
PUSH_EVENT_PAYLOAD = Shape(
    "commit_count action ref_type commit_from commit_to ref commit_title ref_count",
    {"action": named(PUSH_ACTION), "ref_type": named(REF_TYPE)},
)
# event.rb: fingerprint is a sha attribute; target_type is never NULL where it is joined
EVENT = Shape(
    "project_id author_id created_at updated_at action target_type fingerprint",
    {"action": named(EVENT_ACTION)},
    {"push_event_payload": one("push_event_payloads", PUSH_EVENT_PAYLOAD, event_id="id")},
)
# award_emoji.rb: `url` is a method that is not exported
AWARD = Shape("name user_id awardable_type created_at updated_at")
AUTHOR = one("users", Shape("name"), id="author_id")
SYSTEM_NOTE_METADATA = Shape("commit_count action created_at updated_at")
SUGGESTION = Shape("relative_order applied commit_id from_content to_content lines_above lines_below outdated")
# note_diff_file.rb: diff_export is the stored text, neither decoded nor emptied
NOTE_DIFF_FILE = Shape(
    "new_file renamed_file deleted_file a_mode b_mode new_path old_path",
    {"diff_export": lambda _, row, __: stored(row["diff"])},
)


def events(target: str) -> Getter:
    """Return a getter of the events of a target: rows of its class alone (an issue's, not a work item's)."""
    return many("events", EVENT, target_id="id", target_type=f"'{target}'")


def awards(target: str) -> Getter:
    """Return a getter of the emoji awarded to a target."""
    return many("award_emoji", AWARD, awardable_id="id", awardable_type=f"'{target}'")


NESTED: dict[str, Getter] = {
    "author": AUTHOR,
    "award_emoji": awards("Note"),
    "system_note_metadata": one("system_note_metadata", SYSTEM_NOTE_METADATA, note_id="id"),
    "events": events("Note"),
    "suggestions": many("suggestions", SUGGESTION, lambda row: row["relative_order"], note_id="id"),
    "note_diff_file": one("note_diff_files", NOTE_DIFF_FILE, diff_note_id="id"),
}


def notes(noteable: str, nested: str) -> Getter:
    """Return a getter of the notes on something, with what the tree nests in them there."""
    shape = Shape(NOTE_COLUMNS, NOTE_VALUES, {name: NESTED[name] for name in nested.split()})
    return many("notes", shape, noteable_id="id", noteable_type=f"'{noteable}'")


# import_export.yml has no allow-list for commit_notes: id, internal and imported_from appear, and the type comes last
COMMIT_NOTE = Shape(
    NOTE_COLUMNS.replace(" type\n", "\n") + "internal id imported_from",
    NOTE_VALUES | {"imported_from": named(IMPORT_SOURCE), "type": lambda _, row, __: row["type"]},
    {"author": AUTHOR, "events": events("Note")},
)
