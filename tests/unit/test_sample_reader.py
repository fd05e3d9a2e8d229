"""The second reader's values: it judges the engine, so what it makes of a column is pinned here."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pytest
import yaml

from tests.reader import diffs, enums, merge_requests, notes, planning, ruby, settings, shapes, values


def test_times_are_utc_with_three_decimals_cut_off():
    east = timezone(timedelta(hours=2))
    assert values.stored(datetime(2016, 6, 14, 15, 2, 8, 340999)) == "2016-06-14T15:02:08.340Z"
    assert values.stored(datetime(2016, 6, 14, 15, 2, 8, 999999, tzinfo=timezone.utc)) == "2016-06-14T15:02:08.999Z"
    assert values.stored(datetime(2016, 6, 14, 1, 2, 8, tzinfo=east)) == "2016-06-13T23:02:08.000Z"
    assert values.stored(date(2016, 6, 14)) == "2016-06-14"


def test_bytes_are_lower_case_hex_and_numbers_that_json_lacks_are_null():
    assert values.stored(b"\xab\x00\x0f") == "ab000f"
    assert values.stored(float("nan")) is None
    assert values.stored(98.0) == 98.0


def test_a_line_has_the_escapes_of_rails():
    assert values.line({"a": "<é>&\u2028\u2029/", "b": [1, None]}) == (
        '{"a":"\\u003cé\\u003e\\u0026\\u2028\\u2029/","b":[1,null]}\n'.encode()
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "--- !ruby/hash:ActiveSupport::HashWithIndifferentAccess\nforce_remove_source_branch: '1'\n",
            {"force_remove_source_branch": "1"},
        ),
        ("--- !map:ActiveSupport::HashWithIndifferentAccess\na: 1\n", {"a": 1}),
        ("--- !ruby/hash-with-ivars:Hash\nelements:\n  a: 1\nivars:\n  b: 2\n", {"a": 1}),
        ("---\nforce_remove_source_branch: true\nsquash_commit_message:\n", {
            "force_remove_source_branch": True, "squash_commit_message": None,
        }),
        ("---\n:a: :left\n:b: ':right'\n:c: !ruby/symbol up\n", {"a": "left", "b": ":right", "c": "up"}),
        ('---\n:"a b": 2024-01-01\nd: =\n', {"a b": "2024-01-01", "d": "="}),
        ('---\nforce_remove_source_branch: "\\0x"\n', {"force_remove_source_branch": "\0x"}),
        ("--- {}\n", {}),
        ("--- \n", {}),
        ("---\n", {}),
        ("", {}),
        (None, {}),
        ("--- []\n", {}),
        ("--- text\n", {}),
    ],
)  # fmt: skip
def test_parameters_of_a_merge_are_an_object_in_every_form_of_a_hash(text, expected):
    assert merge_requests.merge_params(None, {"merge_params": text}, "merge_params") == expected


SHAS = {"base_sha": "a", "start_sha": "b", "head_sha": "c", "old_path": "a.rb", "new_path": "b.rb"}
HEAD = "--- !ruby/object:Gitlab::Diff::Position\nattributes:\n"
YAML = HEAD + "  :base_sha: a\n  :start_sha: b\n  :head_sha: c\n  :old_path: a.rb\n  :new_path: b.rb\n"
NULLS = {**dict.fromkeys(SHAS), "position_type": "text", "old_line": None, "new_line": None, "line_range": None}
RANGE = {"start": {"line_code": "x_1_1", "type": "new"}, "end": {"line_code": "x_1_2", "type": None}}
INSPECTED = '"base_sha"=>"a", "start_sha"=>"b", "head_sha"=>"c", "old_path"=>"a.rb", "new_path"=>"b.rb"'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((text, NULLS) for text in (None, "", "--- \n", "---\n", "--- \n...\n", HEAD + "  {}\n")),
        (YAML + "  :position_type: text\n  :new_line: 3\n", {**NULLS, **SHAS, "new_line": 3}),
        (YAML + "  :position_type: :image\n  :x: 3\n", {**NULLS, **SHAS}),
        (
            YAML + "  :position_type: image\n  :width: 1\n  :height: 2\n  :x: 3\n  :y: 4\n  :old_line: 5\n",
            {**SHAS, "position_type": "image", "width": 1, "height": 2, "x": 3, "y": 4},
        ),
        (YAML + "  :position_type: file\n  :new_line: 5\n", {**SHAS, "position_type": "file"}),
        (YAML + "  :ignore_whitespace_change: true\n  :other: 1\n", {**NULLS, **SHAS}),
        (HEAD + "  base_sha: a\n  position_type: image\n", NULLS),
        (
            YAML + "  :line_range: !ruby/hash:ActiveSupport::HashWithIndifferentAccess\n    start:\n"
            "      line_code: x_1_1\n      type: new\n    end:\n      line_code: x_1_2\n      type:\n",
            {**NULLS, **SHAS, "line_range": RANGE},
        ),
        (f'{{{INSPECTED}, "new_line"=>3, "old_line"=>nil}}', {**NULLS, **SHAS, "new_line": 3}),
        (f"{{{INSPECTED.replace('=>', ' => ')}}}", {**NULLS, **SHAS}),
        ('{:old_path=>"a=>nil :b.rb", :position_type=>:image}', {
            **dict.fromkeys(SHAS), "old_path": "a=>nil :b.rb", "position_type": "image",
            "width": None, "height": None, "x": None, "y": None,
        }),
        ('{"line_range"=>{"start"=>{:type=>"new"}}}', {**NULLS, "line_range": {"start": {"type": "new"}}}),
        ('{"old_path"=>"a.rb"', None),
        ("[1, 2", None),
        ('{"old_path": "a.rb", "new_line": 3}', {**NULLS, "old_path": "a.rb", "new_line": 3}),
    ],
)  # fmt: skip
def test_a_position_is_flat_and_has_the_keys_of_its_type(text, expected):
    found = notes.read_position(text)
    assert found == expected
    assert found is None or list(found) == list(expected)


def test_only_the_class_that_has_a_coder_decodes():
    row = {"position": "--- \n", "st_diff": "--- \n:a: 1\n"}
    for kind in (None, "DiscussionNote", "LegacyDiffNote"):
        assert notes.position_of_diff_note(None, row | {"type": kind}, "position") == "--- \n"
    for kind in (None, "DiscussionNote", "DiffNote"):
        assert notes.st_diff(None, row | {"type": kind}, "st_diff") == "--- \n:a: 1\n"
    assert notes.position_of_diff_note(None, row | {"type": "DiffNote"}, "position") == NULLS
    assert notes.st_diff(None, row | {"type": "LegacyDiffNote"}, "st_diff") == {"a": 1}
    assert notes.st_diff(None, {"type": "LegacyDiffNote", "st_diff": None}, "st_diff") is None


@pytest.mark.parametrize(
    ("stored", "colour", "text"),
    [
        ("#FFFFFF", "#FFFFFF", "#1F1E24"),
        ("#fff", "#fff", "#1F1E24"),
        ("#000000", "#000000", "#FFFFFF"),
        ("#428BCA", "#428BCA", "#FFFFFF"),
        ("\t#fFcC00 \n", "#fFcC00", "#1F1E24"),
        ("#F0F ", "#F0F", "#FFFFFF"),
        ("\u00a0#fff", "\u00a0#fff", "#FFFFFF"),
        ("tomato", "tomato", "#FFFFFF"),
        ("", "", "#FFFFFF"),
        (None, "#6699cc", "#FFFFFF"),
    ],
)
def test_a_colour_is_stripped_and_text_on_it_is_dark_only_where_light_would_not_be_seen(stored, colour, text):
    assert planning.colour(None, {"color": stored}, "color") == colour
    assert planning.text_colour(None, {"color": stored}, "textColor") == text


@pytest.mark.parametrize(
    ("binary", "diff", "expected"),
    [
        (False, "@@ -1 +1 @@\n", "@@ -1 +1 @@\n"),
        (True, "w6nDvAo=", "éü\n"),
        (True, "w6nDvAo", "w6nDvAo"),
        (True, "w6nD\nvAo=", "w6nD\nvAo="),
        (True, "YR==", "YR=="),
        (True, "@@ no base64", "@@ no base64"),
        (True, "/wBh", "a"),
        (True, "ICAK", ""),
        (True, "", ""),
        (False, "", ""),
        (False, " \n\u3000", ""),
        (False, " \u001f", " \u001f"),
    ],
)
def test_a_diff_is_text_whatever_it_was(binary, diff, expected):
    assert diffs.decoded(diff.encode(), binary) == expected


@pytest.mark.parametrize(
    ("url", "organization", "project"),
    [
        ("https://sentry.example.com/api/0/projects/acme/web_front-end/", "Acme", "Web Front End"),
        ("https://sentry.example.com/api/0/projects//the-ee//app_id///", "The EE", "App"),
        ("https://sentry.example.com/api/0/projects/ACME/myApp2Go", "Acme", "My App2 Go"),
        ("https://sentry.example.com/api/0/projects/acme/", None, None),
        ("https://sentry.example.com/sub/api/0/projects/acme/app/", None, None),
        ("https://sentry.example.com/api/0/projects/acme/app/issues", None, None),
        ("", None, None),
        (None, None, None),
    ],
)
def test_names_of_error_tracking_are_made_of_the_slugs(url, organization, project):
    row = {"api_url": url, "project_name": None, "organization_name": None}
    assert settings.name_in_api_url(None, row, "organization_name") == organization
    assert settings.name_in_api_url(None, row, "project_name") == project
    assert settings.name_in_api_url(None, row | {"project_name": ""}, "project_name") == ""


@pytest.mark.parametrize(
    ("slug", "title"),
    [("web", "Web"), ("JH-2", "JH 2"), ("_a__b", "A  B"), ("HTMLParser", "Html Parser"), ("o'neil_x", "O'neil X")],
)
def test_a_slug_is_titleized_as_rails_does_it(slug, title):
    assert ruby.titleize(slug) == title


def test_null_is_a_name_only_in_enums_that_say_so_and_an_unknown_code_is_null():
    def name(table, code):
        return shapes.named(table)(None, {"code": code}, "code")

    assert name(enums.SOURCE, None) == "unknown"
    assert name(enums.CONFIG_SOURCE, None) == "unknown_source"
    assert name(enums.JOB_FAILURE, None) == "unknown_failure"
    assert name(enums.PIPELINE_FAILURE, None) is None
    assert name(enums.SCHEDULING_TYPE, None) is None
    assert name(enums.PIPELINE_FAILURE, 24) is None
    assert name(enums.JOB_FAILURE, 0) is None


def test_issues_without_a_position_come_last():
    rows = [{"id": 1, "relative_position": None}, {"id": 2, "relative_position": 5}, {"id": 3, "relative_position": -5}]
    rows += [{"id": 4, "relative_position": 0}, {"id": 5, "relative_position": 5}]
    found = sorted(rows, key=shapes.null_last("relative_position"))
    assert [row["id"] for row in found] == [3, 4, 2, 5, 1]


def test_enums_are_those_of_the_facts(facts):
    known = yaml.safe_load((facts / "gitlab" / "tree.yaml").read_text(encoding="utf-8"))["enums"]
    ours = {
        "event_action": enums.EVENT_ACTION,
        "push_event_action": enums.PUSH_ACTION,
        "push_event_ref_type": enums.REF_TYPE,
        "issue_state": enums.ISSUE_STATE,
        "work_item_type": enums.WORK_ITEM_TYPE,
        "merge_request_state": enums.MERGE_REQUEST_STATE,
        "resource_state": enums.RESOURCE_STATE,
        "resource_label_action": enums.ADD_OR_REMOVE,
        "resource_milestone_action": enums.ADD_OR_REMOVE,
        "zoom_status": enums.ZOOM_STATUS,
        "design_event": enums.DESIGN_EVENT,
        "release_link_type": enums.LINK_TYPE,
        "reviewer_state": enums.REVIEWER_STATE,
        "diff_type": enums.DIFF_TYPE,
        "external_pr_status": enums.PULL_REQUEST_STATUS,
        "auto_cancel_pending_pipelines": enums.AUTO_CANCEL,
        "squash_option": enums.SQUASH_OPTION,
        "auto_devops_strategy": enums.DEPLOY_STRATEGY,
        "list_type": enums.LIST_TYPE,
        "pipeline_variables_role": enums.VARIABLES_ROLE,
        "resource_group_mode": enums.PROCESS_MODE,
        "import_source": enums.IMPORT_SOURCE,
        "ci_scheduling_type": enums.SCHEDULING_TYPE,
        "ci_stage_status": enums.STAGE_STATUS,
        "ci_source": enums.SOURCE,
        "ci_config_source": enums.CONFIG_SOURCE,
        "ci_pipeline_failure": enums.PIPELINE_FAILURE,
        "ci_job_failure": enums.JOB_FAILURE,
    }
    assert ours.keys() == known.keys()
    for name, table in ours.items():
        assert table == {None if code == "null" else code: text for code, text in known[name]["values"].items()}, name
