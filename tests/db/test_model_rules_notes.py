"""What GitLab's models make of notes, labels and issues: variants of the cases, on a generated sample.

Expected values follow GitLab's models, not code; both the engine and the second reader are compared with them.
"""

from __future__ import annotations

import json
import re

import psycopg
import pytest

from tests.producers import PRODUCERS, Producer, note, walk


@pytest.fixture(params=PRODUCERS)
def produce(request: pytest.FixtureRequest) -> Producer:
    return request.param


def change(database: str, *statements: str) -> None:
    """Run statements on a database."""
    with psycopg.connect(database) as conn:
        for statement in statements:
            conn.execute(statement.encode())


KINDS = {
    "issue": "Issue",
    "merge request": "MergeRequest",
    "snippet": "Snippet",
    "design": "DesignManagement::Design",
    "commit": "Commit",
}


def mark(database: str) -> None:
    """Name the first note of each kind in the first project after the kind, and clear its YAML columns."""
    with psycopg.connect(database) as conn:
        for name, kind in KINDS.items():
            query = (
                "UPDATE notes SET note = %s, type = NULL, position = NULL, original_position = NULL,"
                " change_position = NULL, st_diff = NULL WHERE id ="
                " (SELECT min(id) FROM notes WHERE project_id = 1 AND noteable_type = %s)"
            )
            assert conn.execute(query, [f"the {name}", kind]).rowcount == 1


def set_note(database: str, kind: str, **columns: str | int | None) -> None:
    """Change columns of a marked note."""
    with psycopg.connect(database) as conn:
        for column, value in columns.items():
            query = psycopg.sql.SQL("UPDATE notes SET {} = %s WHERE note = %s")
            conn.execute(query.format(psycopg.sql.Identifier(column)), [value, f"the {kind}"])


HEAD = "--- !ruby/object:Gitlab::Diff::Position\nattributes:\n"
PATHS = '  :old_path: "a & b.rb"\n  :new_path: c.rb\n'
NULLS = {
    "base_sha": None, "start_sha": None, "head_sha": None, "old_path": None, "new_path": None,
    "position_type": "text", "old_line": None, "new_line": None, "line_range": None,
}  # fmt: skip
SIX = {
    "base_sha": None, "start_sha": None, "head_sha": None, "old_path": "a & b.rb", "new_path": "c.rb",
}  # fmt: skip
TEXT = {**NULLS, "old_path": "a & b.rb", "new_path": "c.rb"}
IMAGE = {**SIX, "position_type": "image", "width": 4, "height": 3, "x": 2, "y": 1}
FILE = {**SIX, "position_type": "file"}
DEEP = {"start": {"line_code": "x_0_1", "type": "expanded"}, "end": {"line_code": "x_0_2", "type": None}}
AS_YAML = f"{HEAD}{PATHS}"
AS_IMAGE = f"{HEAD}{PATHS}  :position_type: image\n  :width: 4\n  :height: 3\n  :x: 2\n  :y: 1\n"
AS_FILE = f"{HEAD}{PATHS}  :position_type: file\n  :new_line: 1\n"
AS_RANGE = (
    f"{HEAD}{PATHS}  :position_type: text\n  :old_line: 7\n"
    "  :line_range: !ruby/hash:ActiveSupport::HashWithIndifferentAccess\n"
    "    start: !ruby/hash:ActiveSupport::HashWithIndifferentAccess\n      line_code: x_0_1\n      type: expanded\n"
    "    end: !ruby/hash:ActiveSupport::HashWithIndifferentAccess\n      line_code: x_0_2\n      type:\n"
    "  :ignore_whitespace_change: true\n"
)
AS_INSPECTED = '{"old_path"=>"a & b.rb", "new_path"=>"c.rb", "position_type"=>"text", "old_line"=>nil, "new_line"=>nil}'
AS_SYMBOLS = '{:old_path=>"a & b.rb", :new_path=>"c.rb", :position_type=>"file", :new_line=>3}'
AS_INSPECTED_IMAGE = (
    '{"old_path" => "a & b.rb", "new_path" => "c.rb", "position_type" => "image", "width" => 4, "height" => 3,'
    ' "x" => 2, "y" => 1}'
)
POSITIONS = {
    "issue": [(None, NULLS), ("", NULLS), ("--- \n", NULLS)],
    "merge request": [(AS_IMAGE, IMAGE), (AS_INSPECTED, TEXT), ("---\n...\n", NULLS)],
    "snippet": [(AS_FILE, FILE), (AS_YAML, TEXT), (AS_SYMBOLS, FILE)],
    "design": [(AS_INSPECTED_IMAGE, IMAGE), (AS_IMAGE, IMAGE), (None, NULLS)],
    "commit": [
        (AS_RANGE, {**TEXT, "old_line": 7, "line_range": DEEP}),
        (f"{HEAD}  base_sha: a\n  position_type: image\n", NULLS),
        ('{"old_path"=>"a & b.rb"', None),
    ],
}
COLUMNS = ("position", "original_position", "change_position")


def test_the_position_of_a_diff_note_on_anything_is_read_in_every_form(generated_copy, produce):
    mark(generated_copy)
    for kind, forms in POSITIONS.items():
        stored = {column: text for column, (text, _) in zip(COLUMNS, forms, strict=True)}
        set_note(generated_copy, kind, type="DiffNote", **stored)
    found = produce(generated_copy)
    for kind, forms in POSITIONS.items():
        record = note(found, f"the {kind}")
        for column, (_, expected) in zip(COLUMNS, forms, strict=True):
            assert json.dumps(record[column]) == json.dumps(expected), (kind, column)


@pytest.mark.parametrize("kind_of_note", [None, "DiscussionNote", "LegacyDiffNote"])
def test_the_position_of_another_note_is_the_stored_text(generated_copy, produce, kind_of_note):
    mark(generated_copy)
    for kind in KINDS:
        texts = {"position": AS_YAML, "original_position": "", "change_position": None}
        set_note(generated_copy, kind, type=kind_of_note, **texts)
    found = produce(generated_copy)
    for kind in KINDS:
        record = note(found, f"the {kind}")
        assert [record[column] for column in COLUMNS] == [AS_YAML, "", None], kind


ST_DIFF = "---\n:diff: \"+a\\n\"\n:new_path: a&b.rb\n:a_mode: '100644'\n:new_file: false\n"


@pytest.mark.parametrize(
    ("kind_of_note", "expected"),
    [
        ("LegacyDiffNote", {"diff": "+a\n", "new_path": "a&b.rb", "a_mode": "100644", "new_file": False}),
        ("DiffNote", ST_DIFF),
        ("DiscussionNote", ST_DIFF),
        (None, ST_DIFF),
    ],
)
def test_a_legacy_diff_is_only_read_in_a_legacy_diff_note(generated_copy, produce, kind_of_note, expected):
    mark(generated_copy)
    for kind in KINDS:
        set_note(generated_copy, kind, type=kind_of_note, st_diff=ST_DIFF)
    found = produce(generated_copy)
    assert {kind: note(found, f"the {kind}")["st_diff"] for kind in KINDS} == dict.fromkeys(KINDS, expected)


def test_a_note_without_a_discussion_gets_one_and_an_empty_one_stays(generated_copy, produce):
    mark(generated_copy)
    change(
        generated_copy,
        "UPDATE notes SET id = 900001, discussion_id = NULL WHERE note = 'the commit'",
        "UPDATE notes SET discussion_id = '' WHERE note = 'the issue'",
    )
    found = produce(generated_copy)
    made_up = note(found, "the commit")["discussion_id"]
    assert re.fullmatch("[0-9a-f]{40}", made_up)
    assert note(produce(generated_copy), "the commit")["discussion_id"] == made_up
    assert note(found, "the issue")["discussion_id"] == ""


def test_an_edited_note_keeps_the_time_and_an_unedited_issue_has_none(generated_copy, produce):
    mark(generated_copy)
    set_note(generated_copy, "snippet", last_edited_at="2024-05-01 12:00:00.9999+02", updated_at="2024-06-01")
    set_note(generated_copy, "design", last_edited_at=None, updated_at="2024-06-01 01:02:03.4567")
    set_note(generated_copy, "commit", last_edited_at=None, updated_at=None)
    change(generated_copy, "UPDATE issues SET last_edited_at = NULL", "UPDATE merge_requests SET last_edited_at = NULL")
    found = produce(generated_copy)
    assert note(found, "the snippet")["last_edited_at"] == "2024-05-01T10:00:00.999Z"
    assert note(found, "the design")["last_edited_at"] == "2024-06-01T01:02:03.456Z"
    assert note(found, "the commit")["last_edited_at"] is None
    assert {one["last_edited_at"] for one in [*found["issues"], *found["merge_requests"]]} == {None}


COLOURS = [
    ("\t#aBcDeF\n", "#aBcDeF", "#1F1E24"),
    (" #f0f\v\f\r", "#f0f", "#FFFFFF"),
    ("Tomato ", "Tomato", "#FFFFFF"),
    ("# fff", "# fff", "#FFFFFF"),
    ("#ffff", "#ffff", "#FFFFFF"),
    ("\u00a0#ffffff", "\u00a0#ffffff", "#FFFFFF"),
    ("", "", "#FFFFFF"),
    ("  ", "", "#FFFFFF"),
    (None, "#6699cc", "#FFFFFF"),
]


def test_colours_are_only_stripped_of_white_space(generated_copy, produce):
    with psycopg.connect(generated_copy) as conn:
        ids = [
            row[0] for row in conn.execute("SELECT id FROM labels WHERE type = 'ProjectLabel' ORDER BY project_id, id")
        ]
        for label_id, (stored, _, _) in zip(ids, COLOURS, strict=False):
            conn.execute("UPDATE labels SET color = %s WHERE id = %s", [stored, label_id])
        conn.execute("UPDATE labels SET color = ' #Abc ' WHERE type = 'GroupLabel'")
    found = produce(generated_copy)
    top = [(label["color"], label["textColor"]) for label in found["labels"][: len(COLOURS)]]
    assert top == [(colour, text) for _, colour, text in COLOURS]
    group = [item for item in walk(list(found.values())) if item.get("type") == "GroupLabel"]
    assert {label["color"] for label in group} == {"#Abc"}
    assert not [label for label in group if "textColor" in label]


TYPES = {
    1: "issue", 2: "incident", 3: "test_case", 4: "requirement", 5: "task", 6: "objective", 7: "key_result",
    8: "epic", 9: "ticket", 10: "issue", 0: "issue", None: "issue",
}  # fmt: skip


def types(found: dict) -> dict[str, str]:
    return {
        issue["title"]: issue["work_item_type"]["base_type"] for issue in found["issues"] if "of type" in issue["title"]
    }


def issue_of_each_type(database: str, codes: list[int | None]) -> None:
    """Name an issue after each type."""
    with psycopg.connect(database) as conn:
        conn.execute("INSERT INTO issues (project_id, title, state_id) SELECT 1, 'more', 1 FROM generate_series(1, 12)")
        ids = [row[0] for row in conn.execute("SELECT id FROM issues WHERE project_id = 1 ORDER BY id")]
        for issue_id, code in zip(ids, codes, strict=False):
            query = "UPDATE issues SET title = %s, work_item_type_id = %s WHERE id = %s"
            conn.execute(query, [f"of type {code}", code, issue_id])


def test_the_type_of_a_work_item_is_the_last_key_by_one_of_nine_fixed_ids(generated_copy, produce):
    issue_of_each_type(generated_copy, list(TYPES))
    found = produce(generated_copy)
    assert types(found) == {f"of type {code}": name for code, name in TYPES.items()}
    assert {list(issue)[-1] for issue in found["issues"]} == {"work_item_type"}


def test_before_19_0_the_type_is_that_of_the_row_of_types(generated_copy, produce):
    codes = [1, 2, 30, 31, 32, 33, None]
    issue_of_each_type(generated_copy, codes)
    change(
        generated_copy,
        "CREATE TABLE work_item_types (id bigint PRIMARY KEY, name text, base_type smallint)",
        "INSERT INTO work_item_types VALUES (1, 'Task', 4), (2, 'Issue', 0), (30, 'Test Case', 2), (31, 'Ticket', 8),"
        " (32, 'New', 77)",
    )
    assert types(produce(generated_copy)) == {
        "of type 1": "task",
        "of type 2": "issue",
        "of type 30": "test_case",
        "of type 31": "ticket",
        "of type 32": "issue",
        "of type 33": "issue",
        "of type None": "issue",
    }


def test_an_unknown_code_is_null_and_an_event_of_a_work_item_is_not_one_of_the_issue(generated_copy, produce):
    change(
        generated_copy,
        "UPDATE issues SET state_id = 3",
        "UPDATE events SET target_type = 'WorkItem' WHERE target_type = 'Issue'",
        "UPDATE events SET action = 99 WHERE target_type = 'MergeRequest'",
        "UPDATE zoom_meetings SET issue_status = 9",
        "UPDATE merge_request_reviewers SET state = 9",
        "UPDATE resource_state_events SET state = 9",
        "UPDATE lists SET list_type = 9 WHERE list_type = 2",
    )
    found = produce(generated_copy)
    assert {issue["state"] for issue in found["issues"]} == {None}
    assert [issue["events"] for issue in found["issues"] if issue["events"]] == []
    requests = found["merge_requests"]
    assert {event["action"] for request in requests for event in request["events"]} == {None}
    assert {reviewer["state"] for request in requests for reviewer in request["merge_request_reviewers"]} == {None}
    assert {event["state"] for one in found["issues"] for event in one["resource_state_events"]} == {None}
    assert {meeting["issue_status"] for issue in found["issues"] for meeting in issue["zoom_meetings"]} == {None}
    assert None in {item["list_type"] for board in found["boards"] for item in board["lists"]}


def test_import_sources_have_names_and_jira_is_one(generated_copy, produce):
    mark(generated_copy)
    for code, name in ((12, "jira"), (11, "custom_template"), (0, "none"), (13, None)):
        set_note(generated_copy, "commit", imported_from=code)
        assert note(produce(generated_copy), "the commit")["imported_from"] == name
