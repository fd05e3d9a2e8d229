"""What the generator promises, compared with what the second reader reads."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from itertools import pairwise
from typing import Any

import psycopg
import pytest
import yaml
from psycopg.sql import SQL, Identifier

from project_export.errors import BadRequest, SourceChanged
from project_export.sample import generate, hostile, layouts, schema
from project_export.sample.values import NASTY
from tests import reader
from tests.reader import notes
from tests.reader.data import names
from tests.reader.pipelines import DANGLING_SOURCES

PROJECTS = 3
VALUES = {
    "position", "original_position", "change_position", "st_diff", "merge_params", "trailers",
    "work_item_type", "id_token_sub_claim_components",
}  # fmt: skip
"""Keys whose objects and arrays are values, not nested records."""
FROM_GIT = {"default_branch", "source_branch_sha", "target_branch_sha"}
NEVER = {
    "labels.group_id", "milestones.group_id", "boards.group_id", "project_members.requested_at",
    "ci_pipelines.stages.bridges.artifacts_expire_at",
}  # fmt: skip
"""Keys that are null in every record that GitLab exports."""
ONLY_HOSTILE = {name for kind in hostile.kinds() for name in kind.fills if "." in name}
"""Keys that are null in every record of rows that GitLab accepts."""
PUSHED = "push_event_payload"
"""The action of an event with a target is never pushed."""
SECRET = re.compile(r"token|secret|encrypted|password|otp_backup")


@pytest.fixture(scope="module")
def sample(databases, schema_template):
    """A generated database that no test changes, and what the generator reported."""
    with databases.new(schema_template) as database:
        with psycopg.connect(database) as conn:
            made = generate.generate(conn, PROJECTS, 1)
        with psycopg.connect(database) as conn:
            yield conn, made


@pytest.fixture(scope="module")
def exports(sample):
    conn, _ = sample
    return {number: reader.read_project(conn, number) for number in range(1, PROJECTS + 1)}


def records_by_path(relations: dict[str, list[reader.Record]]) -> dict[str, list[reader.Record]]:
    found: dict[str, list[reader.Record]] = defaultdict(list)

    def visit(path: str, record: reader.Record) -> None:
        found[path].append(record)
        for key, value in record.items():
            if key in VALUES or not isinstance(value, (dict, list)):
                continue
            found[f"{path}.{key}"] += []
            for child in [value] if isinstance(value, dict) else value:
                visit(f"{path}.{key}", child)

    for relation, records in relations.items():
        found[relation] += []
        for record in records:
            visit(relation, record)
    return found


def texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for child in children for text in texts(child)]


def values_of(conn: psycopg.Connection, table: str, column: str) -> list[Any]:
    query = SQL("SELECT {column} FROM {table} WHERE {column} IS NOT NULL")
    rows = conn.execute(query.format(column=Identifier(column), table=Identifier(table)))
    return [value for (value,) in rows]


def test_the_generator_reports_as_many_records_as_the_second_reader_reads(sample):
    conn, made = sample
    assert [project.id for project in made] == [1, 2, 3]
    for project in made:
        found = {relation: len(records) for relation, records in reader.read_project(conn, project.id).items()}
        assert found.pop("project") == 1
        assert found.pop("user_contributions") == 0
        assert project.records == found


def test_the_first_project_has_records_of_every_relation_and_nested_relation(exports):
    counts = {path: len(records) for path, records in records_by_path(exports[1]).items()}
    assert [path for path, count in counts.items() if not count] == ["user_contributions"]
    assert len(counts) >= 85
    assert 3_000 <= sum(counts.values()) <= 4_500


def is_null(value: Any) -> bool:
    """Whether a value is null, or the position of a diff note that has none."""
    return value is None or (isinstance(value, dict) and value == notes.read_position(None))


def always_null(relations: dict[str, list[reader.Record]]) -> set[str]:
    null = set()
    for path, records in records_by_path(relations).items():
        keys = {key for record in records for key in record}
        null |= {f"{path}.{key}" for key in keys if all(is_null(record.get(key)) for record in records)}
    return null


def test_every_key_of_the_first_project_that_can_have_a_value_has_one_somewhere(exports):
    assert always_null(exports[1]) == NEVER | ONLY_HOSTILE


def test_a_complete_sample_has_a_value_for_every_key_and_is_the_smallest(database):
    with psycopg.connect(database) as conn:
        schema.create(conn)
        generate.generate(conn, *generate.COMPLETE)
        relations = reader.read_project(conn, 1)
    paths = records_by_path(relations)
    assert always_null(relations) == NEVER
    assert [path for path, records in paths.items() if not records] == ["user_contributions"]
    assert len(paths["issues"]) == len(paths["merge_requests"]) == 2
    assert len(paths) >= 97


def test_the_second_reader_reads_every_key_that_the_facts_name(facts, newer, exports):
    tree = yaml.safe_load((facts / "gitlab" / "tree.yaml").read_text(encoding="utf-8"))
    expected = {}

    def visit(path: str, relation: dict[str, Any]) -> None:
        children = relation.get("children", ())
        keys = {*relation["columns"], *(method["name"] for method in relation.get("methods", ()))}
        expected[path] = (keys | {child["relation"] for child in children}) - FROM_GIT
        for child in children:
            visit(f"{path}.{child['relation']}", child)

    for relation in (tree["root"], *tree["relations"]):
        visit(relation["relation"], relation)
    del expected["user_contributions"]
    paths = records_by_path(exports[1])
    del paths["user_contributions"]
    found = {path: {key for record in records for key in record} for path, records in paths.items()}
    missing = {path: keys - found.get(path, set()) for path, keys in expected.items()}
    more = {
        path: {key for key in keys - expected.get(path, set()) if not newer(f"{path}.{key}")}
        for path, keys in found.items()
    }
    assert {path for path, keys in missing.items() if keys} == {
        path for path in expected if PUSHED in path or f"{path}.{PUSHED}" in expected
    }
    assert [f"{path}.{key}" for path, keys in more.items() for key in keys if not newer(f"{path}.{key}")] == []


def test_the_second_project_lacks_what_is_optional_and_the_last_nearly_everything(exports):
    assert exports[2]["auto_devops"] == exports[2]["error_tracking_setting"] == exports[2]["service_desk_setting"] == []
    assert exports[2]["project"][0]["description"] is None
    assert {relation for relation, records in exports[3].items() if records} == {
        "project", "project_members", "project_feature", "ci_cd_settings", "container_expiration_policy",
    }  # fmt: skip


def test_every_code_of_every_enum_occurs(exports):
    paths = records_by_path(exports[1])

    def seen(key: str, *places: str) -> set[Any]:
        return {record[key] for place in places for record in paths[place]}

    def every(name: str) -> set[str]:
        return set(names()[name].values())

    jobs = [f"ci_pipelines.stages.{kind}" for kind in ("builds", "generic_commit_statuses", "bridges")]
    assert seen("action", "issues.events") == every("event_action") - {"pushed"}
    assert seen("source", "ci_pipelines") == {
        name for code, name in names()["ci_source"].items() if code not in {None, *DANGLING_SOURCES}
    }
    assert seen("when", "ci_pipelines.stages.builds") >= {"on_success", "on_failure", "always", "manual", "delayed"}
    assert seen("config_source", "ci_pipelines") == every("ci_config_source")
    assert seen("failure_reason", "ci_pipelines") == {None, *every("ci_pipeline_failure")}
    assert seen("status", "ci_pipelines.stages") == every("ci_stage_status")
    assert seen("failure_reason", *jobs) == every("ci_job_failure")
    assert seen("state", "merge_requests") == every("merge_request_state")
    assert seen("state", "merge_requests.merge_request_reviewers") == every("reviewer_state")
    assert seen("state", "issues.resource_state_events") == every("resource_state")
    assert seen("list_type", "boards.lists") == every("list_type")
    assert seen("imported_from", "commit_notes") == every("import_source")
    types = {record["work_item_type"]["base_type"] for record in paths["issues"]}
    assert types == every("work_item_type")


def test_every_nasty_string_is_in_the_first_project(exports):
    found = "\n".join(texts(exports[1]))
    assert [text for text in NASTY if text not in found] == []
    assert max(map(len, texts(exports[1]))) > 50_000


def test_some_things_happened_in_the_same_microsecond(sample):
    conn, _ = sample
    times = Counter(values_of(conn, "merge_requests", "created_at"))
    assert max(times.values()) > 1


def test_a_few_issues_have_most_of_the_notes(exports):
    counts = sorted((len(record["notes"]) for record in exports[1]["issues"]), reverse=True)
    assert sum(counts[:7]) > sum(counts) / 2
    assert counts.count(0) > len(counts) / 4


def test_inherited_members_come_after_the_direct_ones_and_are_other_users(sample, exports):
    conn, _ = sample
    direct = reader.read_project(conn, 1, inherited_members=False)["project_members"]
    inherited = exports[1]["project_members"][len(direct) :]
    assert {member["source_type"] for member in inherited} == {"Project"}
    assert {member["requested_at"] for member in inherited} == {None}
    assert {member["user_id"] for member in inherited} == {1, 2, 3, 4}
    assert {member["user_id"] for member in direct} == {5, 6, 7, 8, 9, 10, None}


def test_commits_are_stored_in_both_ways(exports):
    commits = records_by_path(exports[1])["merge_requests.merge_request_diff.merge_request_diff_commits"]
    assert {"merge_request_commits_metadata" in commit for commit in commits} == {True, False}
    assert all(commit["sha"] for commit in commits)


def test_the_rows_of_projects_are_interleaved(sample):
    conn, _ = sample
    for query in (
        "SELECT project_id FROM issues ORDER BY ctid",
        "SELECT target_project_id FROM merge_requests ORDER BY ctid",
        "SELECT project_id FROM p_ci_stages WHERE partition_id = 100 ORDER BY ctid",
    ):
        owners = [owner for (owner,) in conn.execute(query)]
        changes = sum(one != other for one, other in pairwise(owners))
        assert changes > len(owners) / 4, query


def test_every_partition_has_rows(sample):
    conn, _ = sample
    query = "SELECT EXISTS (SELECT FROM {})"
    empty = [
        partition.name
        for partition in schema.partitions()
        if conn.execute(SQL(query).format(Identifier(partition.name))).fetchone() == (False,)
    ]
    assert [name for name in empty if not name.startswith("work_item_descriptions")] == []


def test_there_are_rows_that_must_not_be_exported(sample):
    conn, _ = sample
    for query in (
        "SELECT FROM p_ci_pipelines WHERE project_id = 1 AND source IN (9, 12, 13, 14, 15, 16, 17, 18, 19)",
        "SELECT FROM protected_branch_push_access_levels WHERE deploy_key_id IS NOT NULL",
        "SELECT FROM members WHERE source_type = 'Project' AND source_id = 1 AND requested_at IS NOT NULL",
        "SELECT FROM merge_request_diffs WHERE project_id = 1 AND diff_type = 2",
        "SELECT FROM merge_request_diffs WHERE diff_type = 1 GROUP BY merge_request_id HAVING count(*) > 1",
        "SELECT FROM merge_request_diff_files_archived WHERE diff LIKE 'CANARY%'",
        "SELECT FROM events WHERE project_id = 1 AND target_type = 'WorkItem'",
        "SELECT FROM snippets WHERE project_id IS NULL",
        "SELECT FROM badges WHERE type = 'GroupBadge'",
    ):
        assert conn.execute(query).fetchone() is not None, query


def test_every_note_has_an_author_and_every_label_link_a_label_or_an_importer_would_drop_it(exports):
    for project in (1, 2):
        assert all("author" in note for note in records_by_path(exports[project])["issues.notes"])
        assert all("label" in link for link in records_by_path(exports[project])["issues.label_links"])


def test_columns_with_secrets_contain_canaries_that_are_in_no_record(sample, exports):
    conn, _ = sample
    filled = set()
    for table, columns in schema.tables().items():
        for column in columns:
            text = column.type in ("text", "bytea", "character varying", "character varying(255)")
            if not (text and SECRET.search(column.name)):
                continue
            found = values_of(conn, table, column.name)
            if found and (table, column.name) != ("uploads", "secret"):
                filled.add(f"{table}.{column.name}")
                assert all("CANARY" in str(value) for value in found if value), f"{table}.{column.name}"
    assert {"projects.runners_token", "users.encrypted_password", "members.invite_token"} <= filled
    assert [
        text for relations in exports.values() for text in texts(list(relations.values())) if "CANARY" in text
    ] == []


def contents(database: str) -> dict[str, Any]:
    query = "SELECT count(*), md5(string_agg(md5(row::text), '' ORDER BY row::text)) FROM {} AS row"
    with psycopg.connect(database) as conn:
        return {table: conn.execute(SQL(query).format(Identifier(table))).fetchone() for table in schema.tables()}


def test_the_same_seed_gives_the_same_rows_and_another_seed_others(new_database, schema_template):
    found = []
    for seed in (7, 7, 8):
        database = new_database(schema_template)
        with psycopg.connect(database) as conn:
            generate.generate(conn, 2, 0.1, seed, hostile=True)
        found.append(contents(database))
    assert found[0] == found[1]
    assert found[0]["notes"] != found[2]["notes"]


def without(value: Any, *names: str) -> Any:
    if isinstance(value, dict):
        return {key: without(content, *names) for key, content in value.items() if key not in names}
    return [without(content, *names) for content in value] if isinstance(value, list) else value


@pytest.mark.parametrize("layout", [name for name in layouts.names() if name != layouts.DEFAULT])
def test_every_layout_stores_the_same_projects(layout, exports, database):
    with psycopg.connect(database) as conn:
        schema.create(conn, layout)
        generate.generate(conn, PROJECTS, 1)
        found = {number: reader.read_project(conn, number) for number in range(1, PROJECTS + 1)}
    ignored = ["merge_request_commits_metadata"]
    if layout != "gitlab.com":
        ignored += ["trailers"]  # as stored before 19.0
    if layout == "17.1":
        ignored += [
            "namespace_id",
            "encoded_file_path",
            "push_repository_for_job_token_allowed",
            "display_pipeline_variables",
        ]
        ignored += [
            "id_token_sub_claim_components",
            "delete_pipelines_in_seconds",
            "resource_group_default_process_mode",
        ]
        ignored += ["allow_composite_identities_to_run_pipelines"]
    assert without(found, *ignored) == without(exports, *ignored)


def test_a_project_without_ci_has_pipelines_and_exports_only_external_ones(database):
    with psycopg.connect(database) as conn:
        schema.create(conn)
        made = generate.generate(conn, 5, 5)[3]
        own = "FROM p_ci_pipelines WHERE project_id = 4"
        ((pipelines, external),) = conn.execute(f"SELECT count(*), count(*) FILTER (WHERE source = 6) {own}")
        assert len(reader.read_project(conn, 4)["ci_pipelines"]) == made.records["ci_pipelines"] == external
    assert 0 < external < pipelines


def test_rows_can_be_added_later_without_an_id(database):
    with psycopg.connect(database) as conn:
        schema.create(conn)
        generate.generate(conn, 1, 0.01)
        (last,) = conn.execute("SELECT max(id) FROM labels").fetchone()
        assert conn.execute("INSERT INTO labels (title) VALUES ('next') RETURNING id").fetchone() == (last + 1,)


def test_a_database_with_projects_is_refused(database):
    with psycopg.connect(database) as conn:
        schema.create(conn)
        conn.execute("INSERT INTO namespaces (id, name, path) VALUES (1, 'a', 'a')")
        conn.execute("INSERT INTO projects (namespace_id) VALUES (1)")
        with pytest.raises(BadRequest, match="already has projects"):
            generate.generate(conn, 1, 1)


def test_a_database_without_the_schema_is_refused(database):
    with psycopg.connect(database) as conn, pytest.raises(SourceChanged, match="no table projects"):
        generate.generate(conn, 1, 1)


@pytest.mark.parametrize(("projects", "scale"), [(0, 1), (-1, 1), (1, 0), (1, -2)])
def test_less_than_one_project_or_no_scale_is_refused(database, projects, scale):
    with psycopg.connect(database) as conn, pytest.raises(BadRequest, match="give 1 project or more"):
        generate.generate(conn, projects, scale)
