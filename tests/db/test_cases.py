"""Small databases that showed a fault, and what the export of their project has to hold.

Each assertion says in Python what the head of the case's file expects; both the engine and the second reader are held
against it, and against each other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from project_export.archive.verify import verify
from tests.archives import Record, Records, exported
from tests.databases import Databases, NewDatabase
from tests.dumps import add_tables, load_dump
from tests.producers import PRODUCERS, Producer, merge_request, note, of_reader, walk
from tests.runs import assert_equal, context, merge, path_of, started, work

CASES = (
    *("01", "02", "04", "05", "07", "09", "12", "14", "14b", "16"),
    *("18", "20", "21", "23", "28", "40", "43", "46", "49"),
)
"""Numbers of the files; 14b is the second form that the head of 14 gives."""

Case = Callable[[str], str]

SHA = "0fd86738d163471d9eafca1879d2d1758c68c98c"
HEAD = "7ad0e8d88ade147b207656005f6e3b1873bd73ce"
TEXT = {
    "base_sha": SHA, "start_sha": SHA, "head_sha": HEAD, "old_path": "a.rb", "new_path": "a.rb",
    "position_type": "text", "old_line": None, "new_line": 3, "line_range": None,
}  # fmt: skip
NULLS = {
    "base_sha": None, "start_sha": None, "head_sha": None, "old_path": None, "new_path": None,
    "position_type": "text", "old_line": None, "new_line": None, "line_range": None,
}  # fmt: skip
AT = "2019-01-01T08:30:00.123Z"


@pytest.fixture(scope="module")
def base(databases: Databases, facts: Path) -> Iterator[str]:
    """A database with the cases' base, whose notes all have a text of their own, to be copied."""
    with databases.new() as uri:
        load_dump(uri, facts / "cases" / "base.sql.gz")
        add_tables(uri)
        with psycopg.connect(uri) as conn:
            conn.execute("UPDATE notes SET note = 'note ' || id")
        yield uri


@pytest.fixture
def case(new_database: NewDatabase, base: str, facts: Path) -> Case:
    """Make the database of a case, by its number, and return its URI."""

    def make(number: str) -> str:
        (path,) = (facts / "cases").glob(f"{number[:2]}-*.sql")
        script = path.read_text(encoding="utf-8")
        if number == "14b":
            (script,) = re.findall(r"^-- (update merge_request_diff_commits .*)$", script, re.MULTILINE)
        uri = new_database(base)
        with psycopg.connect(uri) as conn:
            conn.execute(script.encode())
        return uri

    return make


@pytest.fixture(params=PRODUCERS)
def produce(request: pytest.FixtureRequest) -> Producer:
    return request.param


def test_every_case_has_a_test(facts):
    assert {path.name[:2] for path in (facts / "cases").glob("*.sql")} == {number[:2] for number in CASES}


@pytest.mark.parametrize("number", CASES)
def test_the_engine_exports_of_a_case_what_the_second_reader_reads(case, number):
    database = case(number)
    assert_equal(exported(database, 1), {name: found for name, found in of_reader(database).items() if found})


def ordered(value: object) -> str:
    """Return a value as text in which the order of keys counts."""
    return json.dumps(value)


def people(records: Records) -> list[int | None]:
    return [member["user_id"] for member in records["project_members"]]


def levels(records: Records) -> dict[int | None, int]:
    return {member["user_id"]: member["access_level"] for member in records["project_members"]}


def files(records: Records) -> list[Record]:
    return [file for mr in records["merge_requests"] for file in mr["merge_request_diff"]["merge_request_diff_files"]]


def test_01_a_position_stored_as_an_object_of_ruby_is_flat(case, produce):
    found = produce(case("01"))
    assert ordered(note(found, "note 94")["position"]) == ordered(TEXT)
    assert ordered(note(found, "note 90")["position"]) == ordered({
        "base_sha": SHA, "start_sha": SHA, "head_sha": HEAD, "old_path": "a.png", "new_path": "a.png",
        "position_type": "image", "width": 10, "height": 20, "x": 1, "y": 2,
    })  # fmt: skip
    (commit_note,) = (record for record in found["commit_notes"] if record["id"] == 18)
    lines = {
        "start": {"line_code": "ab_0_2", "type": "new", "old_line": None, "new_line": 2},
        "end": {"line_code": "ab_0_3", "type": "new", "old_line": None, "new_line": 3},
    }
    assert ordered(commit_note["position"]) == ordered({**TEXT, "line_range": lines})


def test_02_a_diff_file_without_a_new_path_has_the_old_one(case, produce):
    assert [file["new_path"] for file in files(produce(case("02")))] == ["lib/relation_3.rb", "docs/parts_84.rb"]


def test_04_members_with_minimal_access_and_invitations_to_the_group_are_not_exported(case, produce):
    found = produce(case("04"))
    assert 5 not in levels(found).values()
    assert people(found) == [5, 6, 7, 8, 9, 10, None, 1, 2, 3, 4]
    assert [member["invite_email"] for member in found["project_members"] if member["user_id"] is None] == [
        "invited@public.example.com"
    ]


def test_05_the_membership_of_a_deleted_group_is_not_exported(case, produce):
    assert people(produce(case("05"))) == [5, 6, 7, 8, 9, 10, None, 3, 4]


def test_07_members_of_groups_without_a_path_are_found_by_parents(case, produce):
    found = produce(case("07"))
    assert people(found) == [5, 6, 7, 8, 9, 10, None, 1, 2, 3, 4]
    assert {user: level for user, level in levels(found).items() if user in (1, 2, 3, 4)} == {
        1: 20,
        2: 20,
        3: 40,
        4: 20,
    }


def test_09_of_equal_memberships_the_one_that_never_ends_is_exported(case, produce):
    (member,) = (one for one in produce(case("09"))["project_members"] if one["user_id"] == 14)
    assert (member["access_level"], member["notification_level"], member["expires_at"], member["created_at"]) == (
        30, 2, None, "2020-01-01T00:00:00.000Z",
    )  # fmt: skip
    assert member["source_type"] == "Project"


def test_12_a_position_stored_in_the_inspect_form_of_a_hash_is_recovered(case, produce):
    assert ordered(note(produce(case("12")), "note 94")["position"]) == ordered(TEXT)


@pytest.mark.parametrize("form", ["14", "14b"])
def test_14_the_metadata_of_a_commit_without_a_project_is_that_of_the_merge_requests_project(case, produce, form):
    (commit,) = merge_request(produce(case(form)), 2)["merge_request_diff"]["merge_request_diff_commits"]
    assert list(commit) == [
        "authored_date", "committed_date", "relative_order", "sha", "message", "trailers", "commit_author", "committer",
        "merge_request_commits_metadata",
    ]  # fmt: skip
    own = {
        "authored_date": "2019-01-01T08:40:00.123Z",
        "committed_date": "2019-01-21T00:00:47.591Z",
        "sha": "6f379931e8be3dec9809525ddd3688ff20cd08a2",
        "commit_author": {"name": "محمد العربي", "email": "committer5@example.com"},
        "committer": {"name": "Ελένη", "email": "committer8@example.com"},
    }
    assert {key: commit[key] for key in own} == own
    assert {key: commit["merge_request_commits_metadata"][key] for key in own} == own
    assert commit["message"].startswith("Written the read the looked read which")
    assert commit["merge_request_commits_metadata"]["message"] == commit["message"]
    assert commit["trailers"] == {}


def test_16_a_colour_is_stripped_and_a_missing_one_is_the_default(case, produce):
    found = produce(case("16"))
    assert [(label["color"], label["textColor"]) for label in found["labels"][:3]] == [
        ("red", "#FFFFFF"),
        ("#F0F", "#FFFFFF"),
        ("#6699cc", "#FFFFFF"),
    ]
    titles = {label["title"]: label["color"] for label in found["labels"]}
    nested = [item for item in walk([found["issues"], found["merge_requests"], found["boards"]]) if "color" in item]
    assert nested
    assert all("textColor" not in label for label in nested)
    assert {label["color"] == titles[label["title"]] for label in nested if label["type"] == "ProjectLabel"} == {True}


def test_18_a_nul_in_a_value_that_is_stored_as_yaml_is_no_problem_of_an_archive(case, ledger_dsn, tmp_path):
    ctx = context(case("18"), ledger_dsn, tmp_path, units=1)
    created = started(ctx)
    assert work(ctx, created) == []
    assert verify(path_of(merge(ctx, created))).problems == ()


def test_18_a_nul_in_a_value_that_is_stored_as_yaml_is_exported(case, produce):
    assert merge_request(produce(case("18")), 1)["merge_params"] == {"force_remove_source_branch": "\0x"}


def test_20_a_note_that_was_not_edited_has_the_time_of_its_update(case, produce):
    found = produce(case("20"))
    notes = [item for item in walk(list(found.values())) if "noteable_type" in item]
    assert {item["noteable_type"] for item in notes} == {
        "Commit", "DesignManagement::Design", "Issue", "MergeRequest", "Snippet",
    }  # fmt: skip
    assert all(item["last_edited_at"] == item["updated_at"] for item in notes)
    assert found["commit_notes"][1]["last_edited_at"] == "2019-01-14T19:44:07.036Z"


def test_21_a_position_that_is_null_is_an_object_of_nulls(case, produce):
    found = produce(case("21"))
    diff_notes = [item for item in walk(list(found.values())) if item.get("type") == "DiffNote"]
    assert len(diff_notes) == 23
    assert {ordered(item["change_position"]) for item in diff_notes} == {ordered(NULLS)}
    assert ordered(note(found, "note 94")["position"]) == ordered(NULLS)
    assert ordered(note(found, "note 94")["original_position"]) == ordered(NULLS)


def test_23_a_diff_without_the_sha_of_its_head_has_that_of_its_first_commit(case, produce):
    found = produce(case("23"))
    for iid, sha in (
        (1, "bcf713a3fa967ce022a51f2975f68acd3881457c"),
        (2, "6f379931e8be3dec9809525ddd3688ff20cd08a2"),
    ):
        request = merge_request(found, iid)
        assert request["merge_request_diff"]["head_commit_sha"] == sha
        assert request["diff_head_sha"] == sha
        assert request["merge_request_diff"]["files_count"] == 1


def test_28_a_position_in_a_file_has_six_keys_and_nulls_are_what_the_models_give(case, produce):
    found = produce(case("28"))
    assert ordered(note(found, "note 94")["position"]) == ordered({
        "base_sha": "a", "start_sha": "b", "head_sha": "c", "old_path": "a.rb", "new_path": "a.rb",
        "position_type": "file",
    })  # fmt: skip
    request = merge_request(found, 1)
    assert (request["lock_version"], request["time_estimate"], request["merge_params"]) == (0, 0, {})
    (commit_note,) = (record for record in found["commit_notes"] if record["id"] == 18)
    assert commit_note["st_diff"] is None


def test_40_when_is_the_last_key_of_a_build_alone(case, produce):
    jobs = [item for item in walk(produce(case("40"))["ci_pipelines"]) if "stage_idx" in item]
    builds = [job for job in jobs if job["type"] == "Ci::Build"]
    others = [job for job in jobs if job["type"] != "Ci::Build"]
    assert [job["when"] for job in builds] == ["manual", *["on_success"] * 5]
    assert {tuple(job)[-2:] for job in builds} == {("user_id", "when")}
    assert len(others) == 6
    assert not [job for job in others if "when" in job]


def test_43_a_project_whose_builds_are_disabled_exports_no_pipelines(case, produce):
    assert produce(case("43"))["ci_pipelines"] == []


def test_46_an_archived_project_whose_deletion_is_scheduled_is_not_archived(case, produce):
    assert produce(case("46"))["project"][0]["archived"] is False


def test_49_a_pipeline_without_the_sha_before_has_zeros_and_an_empty_one_stays(case, produce):
    assert [pipeline["before_sha"] for pipeline in produce(case("49"))["ci_pipelines"]] == ["0" * 40, ""]
