"""The loader with small archives for one fact each, and with exports of generated projects."""

from __future__ import annotations

import logging
from pathlib import Path

import psycopg
import pytest

from project_export.errors import ArchiveBroken, BadRequest, SourceChanged, StoreRefused
from project_export.sample.generate import generate
from project_export.sample.load import load
from tests.archives import exported, load_into, read_archive, write_archive, write_files

TIME = "2024-05-06T07:08:09.123Z"
FEATURE = {"project_id": 42, "created_at": TIME, "updated_at": TIME}
TIMES = {"created_at": TIME, "updated_at": TIME}


@pytest.fixture
def database(sample_database: str) -> str:
    return sample_database


def label(title: str, **more: object) -> dict[str, object]:
    plain = {"title": title, "color": "#428bca", "project_id": 42, "template": False, "description": None, **TIMES}
    return {**plain, "group_id": None, "type": "ProjectLabel", "priorities": [], **more}


def link(to: dict[str, object]) -> dict[str, object]:
    return {"target_type": "Issue", **TIMES, "label": to}


def rows(database: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(database) as conn:
        return conn.execute(query).fetchall()


def test_the_project_gets_the_id_that_its_records_name(database, tmp_path):
    archive = write_archive(tmp_path / "mine.tar.gz", {"project_feature": [FEATURE]})
    assert load_into(database, archive) == 42
    assert rows(database, "SELECT id, name, path FROM projects") == [(42, "mine", "mine")]


def test_a_project_whose_records_name_no_id_gets_the_next_one(database, tmp_path):
    first = write_archive(tmp_path / "first.tar.gz", {"project_feature": [FEATURE]})
    second = write_archive(tmp_path / "second.tar.gz", {"project": [{"name": "Zweites", "archived": True}]})
    assert [load_into(database, archive) for archive in (first, second)] == [42, 43]
    assert rows(database, "SELECT name, archived FROM projects WHERE id = 43") == [("Zweites", True)]


def test_an_id_that_is_taken_is_refused_and_nothing_changes(database, tmp_path):
    archive = write_archive(tmp_path / "a.tar.gz", {"project_feature": [FEATURE], "labels": [label("a")]})
    load_into(database, archive)
    with pytest.raises(BadRequest, match="contains project 42, but the database has one with this id"):
        load_into(database, archive)
    assert rows(database, "SELECT count(*) FROM labels") == [(1,)]


def test_a_database_without_the_schema_is_refused(server, tmp_path):
    archive = write_archive(tmp_path / "a.tar.gz", {"project_feature": [FEATURE]})
    with psycopg.connect(server.uri()) as conn, pytest.raises(SourceChanged, match="no table projects"):
        load(conn, archive)


def test_a_missing_archive_is_a_bad_request(database, tmp_path):
    with pytest.raises(BadRequest, match=r"There is no archive at .*missing\.tar\.gz"):
        load_into(database, tmp_path / "missing.tar.gz")


def test_a_file_that_is_not_an_archive_is_broken(database, tmp_path):
    garbage, cut = tmp_path / "garbage.tar.gz", tmp_path / "cut.tar.gz"
    garbage.write_bytes(b"not a gzip")
    cut.write_bytes(write_archive(tmp_path / "whole.tar.gz", {"labels": [label("x" * 5000)]}).read_bytes()[:-60])
    for path in (garbage, cut):
        with pytest.raises(ArchiveBroken, match=rf"{path.name} is not a readable tar\.gz"):
            load_into(database, path)
    with pytest.raises(ArchiveBroken, match=r"has no tree/project\.json"):
        load_into(database, write_files(tmp_path / "b.tar.gz", {"VERSION": "0.2.4"}))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"title": "cut', r"issues\.ndjson:2: not JSON"),
        ("[1]", r"issues\.ndjson:2: not an object"),
        ('{"state": "lost"}', r"issues\.ndjson:2: issues\.state: issue_state has no 'lost'; nearest: closed"),
        ('{"title": {"a": 1}}', r"issues\.ndjson:2: issues\.title: \{\"a\": 1\} is not of the type character varying"),
        ('{"notes": {"note": "x"}}', r"issues\.ndjson:2: issues\.notes is not an array of objects"),
        ('{"created_at": "yesterday-ish"}', r"issues\.ndjson:2: the database refuses .*yesterday-ish"),
        (
            '{"created_at": "soon", "notes": [{"author_id": 3, "author": {"name": "A"}}]}',
            r"issues\.ndjson:2: the database refuses .*soon",
        ),
        ('{"iid": 1}', r"issues\.ndjson:2: the database refuses .*index_issues_on_project_id_and_iid"),
        (r'{"title": "\u0000"}', r"issues\.ndjson:2: the database refuses .*NUL"),
        (r'{"title": "\ud800"}', r"issues\.ndjson:2: the database refuses .*surrogate"),
    ],
)
def test_a_broken_record_is_named_by_file_and_line_and_nothing_is_stored(line, message, database, tmp_path):
    files = {"tree/project.json": "{}", "tree/project/issues.ndjson": f'{{"iid": 1, "project_id": 42}}\n{line}\n'}
    with pytest.raises(ArchiveBroken, match=message):
        load_into(database, write_files(tmp_path / "a.tar.gz", files))
    assert rows(database, "SELECT count(*) FROM projects") == [(0,)]


def test_a_milestone_whose_title_is_not_a_text_is_broken(database, tmp_path):
    archive = write_archive(tmp_path / "a.tar.gz", {"milestones": [{"title": ["a"], "project_id": 42}]})
    with pytest.raises(ArchiveBroken, match=r"milestones\.ndjson:1: milestones\.title: .* is not of the type"):
        load_into(database, archive)


def test_keys_and_relations_that_cannot_be_stored_are_logged_with_their_number(database, tmp_path, caplog):
    issues = [{"iid": number, "project_id": 42, "mood": "good"} for number in (1, 2)]
    request = {"iid": 1, "target_project_id": 42, "source_branch": "a", "target_branch": "b", "source_branch_sha": "12"}
    archive = write_archive(
        tmp_path / "a.tar.gz", {"issues": issues, "merge_requests": [request], "push_rule": [{"member_check": True}]}
    )
    with caplog.at_level(logging.WARNING):
        load_into(database, archive)
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.splitlines()[1:] == [
        "  issues.mood: 2",
        "  merge_requests.source_branch_sha (comes from the Git repository): 1",
        "  push_rule: 1",
    ]


def test_a_record_that_its_relation_does_not_export_is_logged(database, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        load_into(database, write_archive(tmp_path / "a.tar.gz", {"labels": [label("a", type="Other")]}))
    assert caplog.records[0].getMessage().splitlines()[1:] == [
        "  labels (stored, but type 'Other' is not exported here): 1"
    ]


def test_an_archive_that_cannot_be_unpacked_names_the_folder(database, tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfileobj", full)
    archive = write_archive(tmp_path / "a.tar.gz", {"labels": [label("a")]})
    with pytest.raises(StoreRefused, match=r"a\.tar\.gz could not be unpacked into .*: No space left on device"):
        load_into(database, archive)


def test_an_archive_that_is_stored_completely_logs_nothing(database, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        load_into(database, write_archive(tmp_path / "a.tar.gz", {"project_feature": [FEATURE]}))
    assert not caplog.records


def test_a_label_nested_in_many_places_is_one_row(database, tmp_path):
    own = label("own", priorities=[{"project_id": 42, "priority": 1, **TIMES}])
    group = label("group", project_id=None, group_id=7, type="GroupLabel")
    issues = [{"iid": number, "project_id": 42, "label_links": [link(own), link(group)]} for number in (1, 2)]
    board = {"project_id": 42, **TIMES, "name": "B", "lists": [{"list_type": "label", "label": own}]}
    load_into(database, write_archive(tmp_path / "a.tar.gz", {"labels": [own], "issues": issues, "boards": [board]}))
    assert rows(database, "SELECT title, project_id, group_id FROM labels ORDER BY id") == [
        ("own", 42, None),
        ("group", None, 7),
    ]
    assert rows(database, "SELECT count(*) FROM label_priorities") == [(1,)]
    assert rows(database, "SELECT type FROM namespaces WHERE id = 7") == [("Group",)]


def test_two_labels_with_the_same_title_stay_two(database, tmp_path):
    twins = [label("twin"), label("twin", color="#ff0000")]
    archive = write_archive(tmp_path / "a.tar.gz", {"labels": twins})
    project = load_into(database, archive)
    assert [record["color"] for record in exported(database, project)["labels"]] == ["#428bca", "#ff0000"]


def test_nested_records_that_only_appear_in_a_later_place_are_stored_once(database, tmp_path):
    event = {"project_id": 42, "author_id": 5, **TIMES, "action": "created", "target_type": "Milestone"}
    milestone = {"title": "group's", "iid": 1, "group_id": 7, "project_id": None, **TIMES}
    moved = {"user_id": None, "action": "add", "state": "opened", "created_at": TIME, "milestone": milestone}
    issues = [
        {"iid": 1, "project_id": 42, "resource_milestone_events": [moved]},
        {"iid": 2, "project_id": 42, "milestone": {**milestone, "events": [event]}},
        {"iid": 3, "project_id": 42, "milestone": {**milestone, "events": [event]}},
    ]
    load_into(database, write_archive(tmp_path / "a.tar.gz", {"issues": issues}))
    assert rows(database, "SELECT count(*) FROM milestones") == [(1,)]
    assert rows(database, "SELECT count(*) FROM events") == [(1,)]


def test_milestones_of_a_release_keep_their_order_although_some_are_the_groups(database, tmp_path):
    own = [
        {"title": title, "iid": iid, "project_id": 42, "group_id": None, **TIMES} for iid, title in ((1, "a"), (2, "c"))
    ]
    group = {"title": "b", "iid": 1, "project_id": None, "group_id": 7, **TIMES}
    links = [{"project_id": 42, "milestone": milestone} for milestone in (own[0], group, own[1])]
    release = {"tag": "v1", "project_id": 42, **TIMES, "released_at": TIME, "milestone_releases": links}
    project = load_into(database, write_archive(tmp_path / "a.tar.gz", {"milestones": own, "releases": [release]}))
    (found,) = exported(database, project)["releases"]
    assert [each["milestone"]["title"] for each in found["milestone_releases"]] == ["a", "b", "c"]


def test_releases_that_contradict_each_other_are_refused(database, tmp_path):
    group = [{"title": title, "iid": 1, "project_id": None, "group_id": 7, **TIMES} for title in "ab"]
    releases = [
        {"tag": tag, "project_id": 42, **TIMES, "milestone_releases": [{"milestone": one} for one in order]}
        for tag, order in (("v1", group), ("v2", group[::-1]))
    ]
    with pytest.raises(ArchiveBroken, match="milestone records of releases are in contradictory orders"):
        load_into(database, write_archive(tmp_path / "a.tar.gz", {"releases": releases}))


def test_users_have_the_values_of_all_records_that_describe_them(database, tmp_path):
    notes = [{"note": "n", "author_id": 5, "author": {"name": "Zoë"}, "noteable_type": "Issue", **TIMES}]
    issue = {"iid": 1, "project_id": 42, "author_id": 5, "closed_by_id": 6, "notes": notes}
    member = {"access_level": 30, "source_type": "Project", "user_id": 5, "notification_level": 3, **TIMES}
    archive = write_archive(
        tmp_path / "a.tar.gz",
        {"issues": [issue], "project_members": [{**member, "user": {"id": 5, "username": "zoe", "public_email": ""}}]},
    )
    load_into(database, archive)
    assert rows(database, "SELECT id, name, username, public_email FROM users ORDER BY id") == [
        (5, "Zoë", "zoe", ""),
        (6, "user-6", "user-6", None),
    ]


def test_an_author_without_a_record_stays_unknown(database, tmp_path):
    note = {"note": "n", "author_id": 999, "noteable_type": "Issue", **TIMES}
    project = load_into(
        database, write_archive(tmp_path / "a.tar.gz", {"issues": [{"iid": 1, "project_id": 42, "notes": [note]}]})
    )
    (issue,) = exported(database, project)["issues"]
    assert issue["notes"][0]["author_id"] == 999
    assert "author" not in issue["notes"][0]


def test_a_user_with_a_different_name_is_refused(database, tmp_path):
    def archive(project: int, name: str) -> Path:
        note = {"note": "n", "author_id": 5, "author": {"name": name}, "noteable_type": "Issue", **TIMES}
        issue = {"iid": 1, "project_id": project, "notes": [note]}
        return write_archive(tmp_path / f"{project}.tar.gz", {"issues": [issue]})

    load_into(database, archive(1, "Ada"))
    load_into(database, archive(2, "Ada"))
    with pytest.raises(BadRequest, match="user 5 has the name 'Bob' in the archive and 'Ada' in the database"):
        load_into(database, archive(3, "Bob"))
    assert rows(database, "SELECT name FROM users") == [("Ada",)]


def test_times_with_an_offset_are_stored_as_instants(database, tmp_path):
    feature = {**FEATURE, "created_at": "2024-05-06T07:08:09.123+10:30"}
    load_into(database, write_archive(tmp_path / "a.tar.gz", {"project_feature": [feature]}))
    query = "SELECT created_at = '2024-05-05 20:38:09.123' FROM project_features"
    assert rows(database, query) == [(True,)]


def test_a_pipeline_gets_the_id_that_its_jobs_name_and_one_without_jobs_the_next(database, tmp_path):
    def pipeline(iid: int, jobs: list[int]) -> dict[str, object]:
        builds = [{"type": "Ci::Build", "name": "b", "commit_id": number, "project_id": 42} for number in jobs]
        stage = {"project_id": 42, "name": "test", "status": "success", "position": 1, "builds": builds}
        return {"iid": iid, "project_id": 42, "source": "push", **TIMES, "stages": [stage]}

    features = {"project_id": 42, **TIMES}  # without them CI/CD counts as disabled, and few pipelines are exported
    archive = write_archive(
        tmp_path / "a.tar.gz",
        {
            "ci_pipelines": [pipeline(1, [500]), pipeline(2, []), pipeline(3, [700, 700])],
            "project_feature": [features],
        },
    )
    project = load_into(database, archive)
    assert rows(database, "SELECT iid, id, partition_id FROM p_ci_pipelines ORDER BY id") == [
        (1, 500, 100),
        (2, 501, 100),
        (3, 700, 100),
    ]
    last = exported(database, project)["ci_pipelines"][2]
    assert [build["commit_id"] for build in last["stages"][0]["builds"]] == [700, 700]


def test_ids_that_would_lose_the_order_are_refused(database, tmp_path):
    notes = [{"id": number, "note": "n", "noteable_type": "Commit", "project_id": 42, **TIMES} for number in (9, 3)]
    with pytest.raises(BadRequest, match="notes 3 comes after notes 9"):
        load_into(database, write_archive(tmp_path / "a.tar.gz", {"commit_notes": notes}))


def test_notes_that_name_no_id_do_not_take_the_ids_of_others(database, tmp_path):
    commit_note = {"id": 2, "note": "c", "noteable_type": "Commit", "project_id": 42, **TIMES}
    notes = [{"note": text, "noteable_type": "Issue", "project_id": 42, **TIMES} for text in "xyz"]
    issue = {"iid": 1, "project_id": 42, "notes": notes}
    load_into(database, write_archive(tmp_path / "a.tar.gz", {"commit_notes": [commit_note], "issues": [issue]}))
    assert rows(database, "SELECT note, id FROM notes ORDER BY id") == [("c", 2), ("x", 3), ("y", 4), ("z", 5)]


@pytest.mark.parametrize(("head", "said"), [("ab" * 20, False), (None, False), ("cd" * 20, True)])
def test_a_merge_requests_head_is_that_of_its_diff_and_another_one_is_logged(head, said, database, tmp_path, caplog):
    diff = {"state": "collected", "head_commit_sha": "ab" * 20, "diff_type": "regular", **TIMES}
    request = {"iid": 1, "target_project_id": 42, "source_branch": "a", "target_branch": "b", **TIMES}
    archive = write_archive(
        tmp_path / "a.tar.gz", {"merge_requests": [{**request, "diff_head_sha": head, "merge_request_diff": diff}]}
    )
    project = load_into(database, archive)
    (found,) = exported(database, project)["merge_requests"]
    assert found["diff_head_sha"] == found["merge_request_diff"]["head_commit_sha"] == "ab" * 20
    assert ("merge_requests.diff_head_sha (not that of the nested record): 1" in caplog.text) == said


def test_a_commit_is_stored_in_its_metadata_or_without_any_in_its_own_columns(database, tmp_path):
    ada, bob = {"name": "Ada", "email": "ada@example.com"}, {"name": "Bob", "email": None}
    times = {"authored_date": TIME, "committed_date": TIME}
    people = {"commit_author": ada, "committer": bob}
    old = {**times, "relative_order": 0, "sha": "ab" * 20, "message": "old", "trailers": {"A": "b"}, **people}
    facts = {**times, "sha": "cd" * 20, "message": "new"}
    new = {**facts, "relative_order": 1, "trailers": {}, **people}
    new["merge_request_commits_metadata"] = {**facts, **people}
    requests = [
        {
            "iid": iid, "target_project_id": 42, "source_branch": "a", "target_branch": "b", **TIMES,
            "merge_request_diff": {"diff_type": "regular", "merge_request_diff_commits": [old, new]},
        }
        for iid in (1, 2)
    ]  # fmt: skip
    project = load_into(database, write_archive(tmp_path / "a.tar.gz", {"merge_requests": requests}))
    for request in exported(database, project)["merge_requests"]:
        # Trailers are stored, but no GitLab from 19.0 on exports them.
        assert request["merge_request_diff"]["merge_request_diff_commits"] == [old | {"trailers": {}}, new]
    query = "SELECT DISTINCT message, commit_author_id IS NULL, trailers::text FROM merge_request_diff_commits"
    assert rows(database, f"{query} ORDER BY 1 NULLS FIRST") == [(None, True, "{}"), ("old", False, '{"A": "b"}')]
    assert rows(database, "SELECT count(*) FROM merge_request_commits_metadata") == [(1,)]
    assert rows(database, "SELECT count(*) FROM merge_request_diff_commit_users") == [(2,)]


def test_a_fork_that_is_not_in_the_archive_is_made_up(database, tmp_path):
    request = {"iid": 1, "target_project_id": 42, "source_project_id": 77, "source_branch": "a", "target_branch": "b"}
    archive = write_archive(tmp_path / "a.tar.gz", {"merge_requests": [{**request, **TIMES}], "labels": [label("a")]})
    project = load_into(database, archive)
    assert exported(database, project)["merge_requests"][0]["source_project_id"] == 77
    assert rows(database, "SELECT id FROM projects ORDER BY id") == [(42,), (77,)]


def test_later_rows_are_numbered_after_the_loaded_ones(database, tmp_path):
    load_into(database, write_archive(tmp_path / "a.tar.gz", {"labels": [label("a"), label("b")]}))
    assert rows(database, "SELECT nextval('labels_id_seq'), nextval('projects_id_seq')") == [(3, 43)]


@pytest.fixture(scope="module")
def generated(databases, schema_template):
    """A database with generated projects that no test changes."""
    with databases.new(schema_template) as uri:
        with psycopg.connect(uri) as conn:
            generate(conn, projects=2, scale=0.4)
        yield uri


@pytest.mark.parametrize("project", [1, 2])
def test_a_generated_project_comes_back_as_it_was(project, generated, database, tmp_path):
    before = exported(generated, project)
    archive = write_archive(tmp_path / "a.tar.gz", before)
    assert load_into(database, archive) == project
    after = exported(database, project)
    assert before.keys() == after.keys()
    for name in before:
        assert before[name] == after[name], name


def test_an_archive_comes_back_from_a_database_with_other_projects(generated, database, tmp_path):
    ((name, email),) = rows(generated, "SELECT name, email FROM merge_request_diff_commit_users ORDER BY id LIMIT 1")
    commit = {"relative_order": 0, "sha": "ab" * 20, "commit_author": {"name": name, "email": email}}
    diff = {"diff_type": "regular", "merge_request_diff_commits": [commit]}
    request = {"iid": 1, "target_project_id": 42, "source_branch": "a", "target_branch": "b"}
    request["merge_request_diff"] = diff
    first = write_archive(tmp_path / "first.tar.gz", {"labels": [label("a")], "merge_requests": [request]})
    second = write_archive(tmp_path / "second.tar.gz", exported(generated, 1))
    assert [load_into(database, archive) for archive in (first, second)] == [42, 1]
    assert exported(database, 1) == read_archive(second)
    found = rows(database, "SELECT name, email FROM merge_request_diff_commit_users")
    assert found.count((name, email)) == 1
