"""What the layouts of GitLab's versions differ in."""

from __future__ import annotations

import pytest
import yaml

from project_export.errors import BadRequest
from project_export.sample import facts, layouts, schema


def columns(layout: str, table: str) -> dict[str, bool]:
    """Whether a column may be NULL, by column."""
    return {column.name: not column.not_null for column in schema.tables(layout).get(table, ())}


def test_the_newest_layout_is_the_default_and_the_names_are_in_order():
    assert layouts.names() == ("17.1", "18.6", "19.5", "gitlab.com")
    assert schema.tables() == schema.tables("19.5") == layouts.layout().tables


def test_an_unknown_layout_is_refused_with_the_nearest_name():
    with pytest.raises(BadRequest, match=r"no layout '19\.4'.*19\.5"):
        layouts.layout("19.4")


def test_every_difference_names_its_source():
    for layout, differences in yaml.safe_load(facts.text("layouts.yaml")).items():
        assert all(difference.get("source") for difference in differences), layout


def test_17_1_keeps_a_commit_in_its_row_and_writes_every_new_path():
    assert "merge_request_commits_metadata" not in schema.tables("17.1")
    commits = columns("17.1", "merge_request_diff_commits")
    assert "merge_request_commits_metadata_id" not in commits
    assert (commits["sha"], commits["trailers"], commits["message"]) == (False, False, True)
    assert columns("17.1", "merge_request_diff_files")["new_path"] is False
    assert not {name for name in schema.tables("17.1") if name.endswith(("_99208b8fac", "_b5377a7a34", "_archived"))}


@pytest.mark.parametrize(
    ("table", "in_layouts"),
    [
        ("work_item_types", {"17.1", "18.6"}),
        ("merge_requests_merge_data", {"18.6", "19.5", "gitlab.com"}),
        ("merge_request_diff_files_99208b8fac", {"18.6"}),
        ("merge_request_diff_files_archived", {"19.5", "gitlab.com"}),
        ("merge_request_diff_commits_b5377a7a34", {"18.6", "19.5"}),
        ("merge_request_diff_commits_archived", {"gitlab.com"}),
        ("application_settings", {"17.1", "18.6", "19.5", "gitlab.com"}),
    ],
)
def test_a_table_is_in_some_layouts(table, in_layouts):
    assert {layout for layout in layouts.names() if table in schema.tables(layout)} == in_layouts


@pytest.mark.parametrize(
    ("table", "column", "in_layouts"),
    [
        ("p_ci_builds", "stage", {"17.1"}),
        ("p_ci_builds", "options", {"17.1", "18.6"}),
        ("issues", "external_key", {"17.1"}),
        ("namespaces", "state", {"18.6", "19.5", "gitlab.com"}),
        ("merge_request_diffs", "head_commit_sha_bytea", {"19.5", "gitlab.com"}),
        ("merge_request_diff_files", "encoded_file_path", {"18.6", "19.5", "gitlab.com"}),
        ("merge_request_diff_commits", "sha", {"17.1", "18.6", "19.5"}),
        ("project_repositories", "object_format", {"17.1", "18.6", "19.5", "gitlab.com"}),
    ],
)
def test_a_column_is_in_some_layouts(table, column, in_layouts):
    assert {layout for layout in layouts.names() if column in columns(layout, table)} == in_layouts


def test_19_5_has_swapped_the_files_of_a_diff_with_their_partitioned_table():
    partitioned = {partition.table for partition in schema.partitions("19.5")}
    assert "merge_request_diff_files" in partitioned
    assert "merge_request_diff_files_archived" not in partitioned
    assert "merge_request_diff_files" not in {partition.table for partition in schema.partitions("18.6")}
    assert columns("19.5", "merge_request_diff_files")["new_path"] is True
    assert not [key for key in schema.all_keys("19.5") if key.kind == "fk" and key.table.endswith("_archived")]
    assert "merge_request_diff_commits" not in partitioned


def test_gitlab_com_has_swapped_the_commits_too():
    assert "merge_request_diff_commits" in {partition.table for partition in schema.partitions("gitlab.com")}
    assert columns("gitlab.com", "merge_request_diff_commits")["merge_request_commits_metadata_id"] is False
