"""Records of other GitLab versions and editions in today's shape."""

from __future__ import annotations

import pytest

from project_export.sample.load.repairs import commit_people, jobs_by_type, paid_names, work_item_type


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"issue_type": "incident"}, {"work_item_type": {"base_type": "incident"}}),
        ({"work_item_type": {"base_type": "task"}}, {"work_item_type": {"base_type": "task"}}),
        ({"work_item_type": {"name": "Key Result"}}, {"work_item_type": {"base_type": "key_result"}}),
        (
            {"work_item_type": {"name": "Bug", "base_type": "issue"}},
            {"work_item_type": {"name": "Bug", "base_type": "issue"}},
        ),
        ({}, {}),
    ],
)
def test_the_type_of_a_work_item_becomes_what_it_is_today(old, new):
    work_item_type(old)
    assert old == new


def test_jobs_go_to_the_relation_of_their_type_in_order():
    jobs = [
        {"name": name, "type": kind} for name, kind in (("a", "Ci::Build"), ("b", "Ci::Bridge"), ("c", "Ci::Build"))
    ]
    stage = {"name": "test", "statuses": list(jobs)}
    jobs_by_type(stage)
    assert stage == {"name": "test", "builds": [jobs[0], jobs[2]], "bridges": [jobs[1]]}


def test_jobs_of_an_unknown_type_stay_where_they_are():
    stage = {"statuses": [{"type": "Ci::Processable"}]}
    jobs_by_type(stage)
    assert stage == {"statuses": [{"type": "Ci::Processable"}]}


def test_names_and_addresses_of_a_commit_become_people():
    commit = {"author_name": "A", "author_email": None, "committer_name": None, "committer_email": None, "sha": "ab"}
    commit_people(commit)
    assert commit == {"sha": "ab", "commit_author": {"name": "A", "email": None}}


def test_names_of_the_paid_edition_become_codes():
    record = {"health_status": "at_risk", "restrict_pipeline_cancellation_role": "developer", "weight": 3}
    paid_names(record)
    assert record == {"health_status": 3, "restrict_pipeline_cancellation_role": 0, "weight": 3}
