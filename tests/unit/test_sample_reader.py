"""The second reader's values: it judges the engine, so what it makes of a column is pinned here."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pytest
import reader
import yaml


def test_times_are_utc_with_three_decimals_cut_off():
    east = timezone(timedelta(hours=2))
    assert reader.value(datetime(2016, 6, 14, 15, 2, 8, 340999)) == "2016-06-14T15:02:08.340Z"
    assert reader.value(datetime(2016, 6, 14, 15, 2, 8, 999999, tzinfo=timezone.utc)) == "2016-06-14T15:02:08.999Z"
    assert reader.value(datetime(2016, 6, 14, 1, 2, 8, tzinfo=east)) == "2016-06-13T23:02:08.000Z"
    assert reader.value(date(2016, 6, 14)) == "2016-06-14"


def test_bytes_are_lower_case_hex():
    assert reader.value(b"\xab\x00\x0f") == "ab000f"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "--- !ruby/hash:ActiveSupport::HashWithIndifferentAccess\nforce_remove_source_branch: '1'\n",
            {"force_remove_source_branch": "1"},
        ),
        ("---\nforce_remove_source_branch: true\nsquash_commit_message:\n", {
            "force_remove_source_branch": True, "squash_commit_message": None,
        }),
        ("---\n:diff: \"+a\\n\"\n:new_file: false\n", {"diff": "+a\n", "new_file": False}),
        ("--- {}\n", {}),
        ("---\n", None),
        (None, None),
    ],
)  # fmt: skip
def test_ruby_hashes_are_objects(text, expected):
    assert reader.ruby_hash(text) == expected


def test_a_merge_request_without_parameters_has_an_empty_object():
    columns = (
        "target_branch source_branch source_project_id author_id title created_at updated_at merge_status"
        " target_project_id iid description updated_by_id merge_error merge_user_id merge_commit_sha"
        " approvals_before_merge rebase_commit_sha in_progress_merge_commit_sha lock_version time_estimate squash"
        " last_edited_at last_edited_by_id discussion_locked allow_maintainer_to_push squash_commit_sha merge_ref_sha"
        " draft"
    )
    for text in (None, "---\n", "--- {}\n"):
        row = dict.fromkeys(columns.split()) | {"merge_params": text}
        assert reader.merge_request_columns(row)["merge_params"] == {}


@pytest.mark.parametrize(
    ("color", "expected"),
    [
        ("#FFFFFF", "#1F1E24"),
        ("#fff", "#1F1E24"),
        ("#000000", "#FFFFFF"),
        ("#428BCA", "#FFFFFF"),
        ("#ffcc00", "#1F1E24"),
        ("tomato", "#FFFFFF"),
        ("", "#FFFFFF"),
    ],
)
def test_text_on_a_label_is_dark_only_where_light_would_not_be_seen(color, expected):
    assert reader.text_color(color) == expected


DIFF = dict.fromkeys((
    "relative_order", "new_file", "renamed_file", "deleted_file", "too_large", "a_mode", "b_mode", "new_path",
    "old_path", "encoded_file_path",
))  # fmt: skip


@pytest.mark.parametrize(
    ("binary", "diff", "expected"),
    [
        (False, "@@ -1 +1 @@\n", "@@ -1 +1 @@\n"),
        (None, "+a", "+a"),
        (True, "w6nDvAo=", "éü\n"),
        (True, "/wBh", "\ufffd\x00a"),
        (True, "", ""),
        (False, None, ""),
        (False, " \n", ""),
    ],
)
def test_a_diff_is_text_whatever_it_was(binary, diff, expected):
    assert reader.diff_file(DIFF | {"binary": binary, "diff": diff})["utf8_diff"] == expected


def test_null_is_a_name_only_in_enums_that_say_so():
    assert reader.enum(reader.SOURCE, None) == "unknown"
    assert reader.enum(reader.CONFIG_SOURCE, None) == "unknown_source"
    assert reader.enum(reader.JOB_FAILURE, None) == "unknown_failure"
    assert reader.enum(reader.PIPELINE_FAILURE, None) is None
    assert reader.enum(reader.SCHEDULING_TYPE, None) is None
    with pytest.raises(KeyError):
        reader.enum(reader.SOURCE, 99)


def test_issues_without_a_position_come_last():
    rows = [{"id": 1, "relative_position": None}, {"id": 2, "relative_position": 5}, {"id": 3, "relative_position": -5}]
    rows += [{"id": 4, "relative_position": 0}, {"id": 5, "relative_position": 5}]
    assert [row["id"] for row in sorted(rows, key=reader.by_relative_position)] == [3, 4, 2, 5, 1]


def test_enums_are_those_of_the_facts(facts):
    enums = yaml.safe_load((facts / "gitlab" / "tree.yaml").read_text(encoding="utf-8"))["enums"]
    ours = {
        "event_action": reader.EVENT_ACTION,
        "push_event_action": reader.PUSH_ACTION,
        "push_event_ref_type": reader.REF_TYPE,
        "issue_state": reader.ISSUE_STATE,
        "work_item_type": reader.WORK_ITEM_TYPE,
        "merge_request_state": reader.MERGE_REQUEST_STATE,
        "resource_state": reader.RESOURCE_STATE,
        "resource_label_action": reader.ADD_OR_REMOVE,
        "resource_milestone_action": reader.ADD_OR_REMOVE,
        "zoom_status": reader.ZOOM_STATUS,
        "design_event": reader.DESIGN_EVENT,
        "release_link_type": reader.LINK_TYPE,
        "reviewer_state": reader.REVIEWER_STATE,
        "external_pr_status": reader.PULL_REQUEST_STATUS,
        "squash_option": reader.SQUASH_OPTION,
        "auto_devops_strategy": reader.DEPLOY_STRATEGY,
        "list_type": reader.LIST_TYPE,
        "pipeline_variables_role": reader.VARIABLES_ROLE,
        "resource_group_mode": reader.PROCESS_MODE,
        "import_source": reader.IMPORT_SOURCE,
        "ci_scheduling_type": reader.SCHEDULING_TYPE,
        "ci_stage_status": reader.STAGE_STATUS,
        "ci_config_source": reader.CONFIG_SOURCE,
        "ci_job_failure": reader.JOB_FAILURE,
    }
    for name, table in ours.items():
        assert table == {None if code == "null" else code: text for code, text in enums[name]["values"].items()}, name
    failures = {code: name for code, name in reader.PIPELINE_FAILURE.items() if code is not None}
    assert failures == enums["ci_pipeline_failure"]["values"]
    sources = enums["ci_source"]["values"]
    assert reader.SOURCE | {code: sources[code] for code in reader.DANGLING_SOURCES} == sources
