"""The sample's repositories agree with its rows, as git sees them."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import psycopg
import pytest

from project_export.sample import schema
from project_export.sample.generate import generate
from tests.sample_repositories import commits, git, hashed, refs, repositories

MERGE = "merge_commit_sha squash_commit_sha in_progress_merge_commit_sha merge_ref_sha"
IDS = {
    "merge_requests": f"{MERGE} rebase_commit_sha",
    "merge_requests_merge_data": MERGE,
    "merge_request_diffs": "base_commit_sha start_commit_sha head_commit_sha base_commit_sha_bytea"
    " start_commit_sha_bytea head_commit_sha_bytea",
    "merge_request_diff_commits": "sha",
    "merge_request_commits_metadata": "sha",
    "notes": "commit_id",
    "p_ci_pipelines": "sha before_sha source_sha target_sha",
    "releases": "sha",
    "external_pull_requests": "source_sha target_sha",
    "suggestions": "commit_id",
    "resource_state_events": "source_commit",
}
"""By table: the columns that have the id of a commit in the project's repository."""
OTHERS = {
    "design_management_versions.sha",  # of the repository of designs, see below
    "push_event_payloads.commit_from", "push_event_payloads.commit_to",  # only in hostile rows, see below
    "merge_requests.merged_commit_sha", "merge_requests_merge_data.merged_commit_sha",  # never filled
    "ci_pipeline_metadata.auto_cancel_on_new_commit",  # a code
    "p_ci_builds.commit_id",  # a pipeline's id
    "approvals.patch_id_sha", "merge_request_diffs.patch_id_sha",  # of a patch
}  # fmt: skip
OPENED, CLOSED, MERGED, LOCKED = 1, 2, 3, 4


def test_repositories_are_where_their_rows_say_and_no_others_exist(sample_on_disk):
    sample = sample_on_disk
    paths = {row["project_id"]: row["disk_path"] for row in sample.table("project_repositories")}
    assert paths == {
        number: "acme/tools/project-3" if number == sample.legacy else hashed("@hashed", number)
        for number in range(1, sample.projects + 1)
    }
    snippets = {row["snippet_id"]: row["disk_path"] for row in sample.table("snippet_repositories")}
    assert snippets == {number: hashed("@snippets", number) for number in snippets}
    expected = {hashed("@pools", 1), *paths.values(), *snippets.values()}
    for table, kind in (("project_wiki_repositories", ".wiki"), ("design_management_repositories", ".design")):
        expected |= {f"{paths[row['project_id']]}{kind}" for row in sample.table(table)}
    assert {str(path.relative_to(sample.root)) for path in repositories(sample.root)} == {f"{x}.git" for x in expected}


def test_some_repositories_are_empty_and_some_do_not_exist(sample_on_disk):
    sample = sample_on_disk
    empty = [str(path.relative_to(sample.root)) for path in repositories(sample.root) if not refs(path)]
    kinds = Counter(name.split("/")[0] + "".join(re.findall(r"\.(?:wiki|design)", name)) for name in empty)
    assert kinds == {"@hashed": 1, "@hashed.wiki": 2, "@snippets": len(sample.filled)}
    assert not sample.own(sample.empty, ".wiki").exists()
    assert not sample.own(sample.empty, ".design").exists()
    there = {row["snippet_id"] for row in sample.table("snippet_repositories")}
    absent = [row for row in sample.table("snippets") if row["project_id"] and row["id"] not in there]
    assert len(absent) == len(sample.filled)


def test_git_finds_no_fault_in_any_repository(sample_on_disk):
    found = repositories(sample_on_disk.root)
    assert len(found) > 25
    for path in found:
        said = git(path, "fsck", "--full", "--strict", "--no-dangling", "--no-progress").splitlines()
        assert [line for line in said if not line.startswith("notice: ")] == [], path


def test_every_column_with_the_id_of_a_commit_is_among_those_that_are_checked():
    named = {
        f"{table}.{column.name}"
        for table, columns in schema.tables().items()
        for column in columns
        if re.search(r"sha$|_sha_bytea$|commit$|commit_(id|from|to)$", column.name) and column.type != "boolean"
    }
    checked = {f"{table}.{name}" for table, names in IDS.items() for name in names.split()}
    assert checked < named
    assert named - checked == OTHERS


def test_every_commit_that_a_row_names_is_in_the_repository(sample_on_disk):
    sample = sample_on_disk
    found = {number: commits(sample.own(number)) for number in sample.filled}
    owners = {
        table: {row["id"]: row.get("target_project_id", row.get("project_id")) for row in sample.table(table)}
        for table in ("issues", "merge_requests", "notes")
    }

    def owner(row: dict[str, Any]) -> int:
        above = {
            "issues": row.get("issue_id"),
            "merge_requests": row.get("merge_request_id"),
            "notes": row.get("note_id"),
        }
        ids = [owners[table][number] for table, number in above.items() if number]
        return row.get("target_project_id") or row.get("project_id") or ids[0]

    for table, columns in IDS.items():
        rows = sample.table(table)
        for column in columns.split():
            named = {(owner(row), row[column].removeprefix("\\x")) for row in rows if row[column]}
            named -= {(number, "0" * 40) for number in sample.filled}
            assert {project for project, _ in named} == set(sample.filled), f"{table}.{column}"
            assert [pair for pair in named if pair[1] not in found[pair[0]]] == [], f"{table}.{column}"


def test_every_commit_in_the_position_of_a_note_is_in_the_repository(sample_on_disk):
    sample = sample_on_disk
    kinds = {"DesignManagement::Design": ".design"}
    found = {(number, kind): commits(sample.own(number, kind)) for number in sample.filled for kind in ("", ".design")}
    named = [
        (row["project_id"], kinds.get(row["noteable_type"], ""), sha)
        for row in sample.table("notes")
        for column in ("position", "original_position", "change_position")
        for sha in re.findall(r'_sha: "?([0-9a-f]{40})', row[column] or "")
    ]
    assert len(named) > 1000
    assert {kind for _, kind, _ in named} == {"", ".design"}
    assert [one for one in named if one[2] not in found[one[:2]]] == []


def test_a_merge_request_that_is_set_to_merge_names_its_head(sample_on_disk):
    query = (
        "SELECT merge_params, head_commit_sha FROM merge_requests JOIN merge_request_diffs"
        " ON merge_request_diffs.id = latest_merge_request_diff_id WHERE merge_params ~ '\\nsha: '"
    )
    rows = sample_on_disk.rows(query)
    assert rows
    assert all(f"\nsha: {head}\n" in params for params, head in rows)


def test_commits_of_push_events_are_in_the_repository(new_database, schema_template, tmp_path):
    with psycopg.connect(new_database(schema_template)) as conn:
        generate(conn, 2, 0.1, hostile=True, files=tmp_path / "files")
        query = "SELECT project_id, commit_from, commit_to FROM push_event_payloads WHERE commit_to IS NOT NULL"
        rows = conn.execute(query).fetchall()
    root = tmp_path / "files" / "repositories"
    found = {number: commits(root / f"{hashed('@hashed', number)}.git") for number in (1, 2)}
    assert len(rows) > 10
    assert [row for row in rows if not {row[1].hex(), row[2].hex()} <= found[row[0]]] == []


def test_commits_have_the_message_the_people_and_the_times_of_their_rows(sample_on_disk):
    sample = sample_on_disk
    people = {
        row["id"]: [row["name"] or "", row["email"] or ""] for row in sample.table("merge_request_diff_commit_users")
    }
    rows = sample.rows(
        "SELECT project_id, sha, message, authored_date, committed_date, commit_author_id, committer_id"
        " FROM merge_request_commits_metadata UNION ALL"
        " SELECT project_id, sha, message, authored_date, committed_date, commit_author_id, committer_id"
        " FROM merge_request_diff_commits WHERE sha IS NOT NULL"
    )
    assert {row[0] for row in rows} == set(sample.filled)
    logs: dict[int, dict[str, list[str]]] = {}
    for number in sample.filled:
        log = git(sample.own(number), "log", "--all", "-z", "--format=%H%x01%at%x01%ct%x01%an%x01%ae%x01%cn%x01%ce")
        logs[number] = {line.split("\x01")[0]: line.split("\x01")[1:] for line in log.split("\0")}
    for project, sha, _, authored, committed, author, committer in rows:
        times = [str(int(moment.timestamp())) for moment in (authored, committed)]
        assert logs[project][sha.hex()] == [*times, *people[author], *people[committer]]
    for project, sha, message, *_ in rows[::10]:
        raw = git(sample.own(project), "cat-file", "commit", sha.hex())
        assert raw.partition("\n\n")[2] == message.removesuffix("\n")


def test_branches_and_refs_of_merge_requests_agree_with_their_rows(sample_on_disk):
    sample = sample_on_disk
    found = {number: refs(sample.own(number)) for number in sample.filled}
    heads = {row["id"]: row["head_commit_sha"] for row in sample.table("merge_request_diffs")}
    states = Counter()
    for row in sample.table("merge_requests"):
        there, head = found[row["target_project_id"]], heads[row["latest_merge_request_diff_id"]]
        assert f"refs/heads/{row['target_branch']}" in there
        assert there[f"refs/merge-requests/{row['iid']}/head"] == head
        merge_ref = row["merge_ref_sha"]
        assert there.get(f"refs/merge-requests/{row['iid']}/merge") == (merge_ref and merge_ref.removeprefix("\\x"))
        branch = there.get(f"refs/heads/{row['source_branch']}")
        assert branch in (None, head)
        states[row["state_id"], row["source_project_id"] is None, branch == head] += 1
    assert set(states) == {
        (OPENED, False, True), (LOCKED, False, True), (MERGED, False, False),
        (CLOSED, False, True), (CLOSED, True, False),  # the second is of a deleted fork
    }  # fmt: skip


def test_a_merged_request_is_a_merge_in_the_target_branch_of_what_was_squashed(sample_on_disk):
    sample = sample_on_disk
    rows = [row for row in sample.table("merge_requests") if row["state_id"] == MERGED]
    assert {row["target_project_id"] for row in rows} == set(sample.filled)
    for row in rows:
        own, merged = sample.own(row["target_project_id"]), row["merge_commit_sha"]
        git(own, "merge-base", "--is-ancestor", merged, f"refs/heads/{row['target_branch']}")
        _, _, second = git(own, "rev-list", "--parents", "--no-walk", merged).split()
        assert second == row["squash_commit_sha"].removeprefix("\\x")


def test_the_commits_of_a_diff_are_those_between_its_ends(sample_on_disk):
    sample = sample_on_disk
    rows = sample.rows(
        """
        SELECT diffs.project_id, base_commit_sha, head_commit_sha,
          array_agg(encode(coalesce(own.sha, metadata.sha), 'hex') ORDER BY relative_order)
        FROM merge_request_diffs AS diffs JOIN merge_request_diff_commits own ON merge_request_diff_id = diffs.id
        LEFT JOIN merge_request_commits_metadata metadata ON metadata.id = merge_request_commits_metadata_id
        WHERE diff_type = 1 GROUP BY diffs.id
        """
    )
    assert max(len(shas) for *_, shas in rows) > 3
    for project, base, head, shas in rows:
        assert git(sample.own(project), "rev-list", f"{base}..{head}").split() == shas


def test_releases_have_a_tag_and_running_pipelines_a_ref(sample_on_disk):
    sample = sample_on_disk
    kinds = Counter()
    for row in sample.table("releases"):
        own, tag = sample.own(row["project_id"]), f"refs/tags/{row['tag']}"
        assert git(own, "rev-parse", f"{tag}^{{commit}}") == row["sha"]
        kinds[git(own, "cat-file", "-t", tag)] += 1
    assert kinds == {"commit": 2 * len(sample.filled), "tag": len(sample.filled)}
    running = [row for row in sample.table("p_ci_pipelines") if row["status"] == "running"]
    assert running
    for row in running:
        assert refs(sample.own(row["project_id"]))[f"refs/pipelines/{row['id']}"] == row["sha"]


def test_schedules_and_external_pull_requests_name_existing_refs(sample_on_disk):
    sample = sample_on_disk
    found = {number: refs(sample.own(number)) for number in sample.filled}
    for row in sample.table("ci_pipeline_schedules"):
        assert row["ref"] in found[row["project_id"]]
    for row in sample.table("external_pull_requests"):
        branch = found[row["project_id"]][f"refs/heads/{row['source_branch']}"]
        assert branch == row["source_sha"].removeprefix("\\x")


def test_every_kind_of_ref_occurs(sample_on_disk):
    names = list(refs(sample_on_disk.own(1)))
    assert {name.split("/")[1] for name in names} == {"heads", "tags", "merge-requests", "keep-around", "pipelines"}
    assert any("'" in name and "<b>" in name for name in names)


def test_head_names_the_default_branch(sample_on_disk):
    sample = sample_on_disk
    for number in range(1, sample.projects + 1):
        head = git(sample.own(number), "symbolic-ref", "HEAD")
        assert head == ("refs/heads/master" if number == sample.legacy else "refs/heads/main")
        assert (head in refs(sample.own(number))) == (number != sample.empty)


def test_a_fork_and_its_source_borrow_what_they_share_from_the_pool(sample_on_disk):
    sample = sample_on_disk
    pooled = [row["id"] for row in sample.table("projects") if row["pool_repository_id"]]
    assert sorted(pooled) == [1, 2]
    pool = sample.root / f"{hashed('@pools', 1)}.git"
    shared = commits(pool)
    assert len(shared) > 1
    for number in pooled:
        own = sample.own(number)
        (line,) = (own / "objects" / "info" / "alternates").read_text().splitlines()
        assert line.startswith("../")
        assert (own / "objects" / line).resolve() == (pool / "objects").resolve()
        (index,) = (own / "objects" / "pack").glob("*.idx")
        packed = git(own, "verify-pack", "-v", str(index))
        assert shared < commits(own)
        assert not any(sha in packed for sha in shared)
    assert not (sample.own(4) / "objects" / "info" / "alternates").exists()


def test_versions_of_designs_are_commits_that_change_them(sample_on_disk):
    sample = sample_on_disk
    rows = sample.rows(
        """
        SELECT designs.project_id, encode(sha, 'hex'), event, 'designs/issue-' || issues.iid || '/' || filename
        FROM design_management_designs_versions JOIN design_management_versions versions ON versions.id = version_id
        JOIN design_management_designs designs ON designs.id = design_id JOIN issues ON issues.id = designs.issue_id
        """
    )
    for project, sha, event, path in rows:
        changed = git(sample.own(project, ".design"), "show", "-z", "--format=", "--name-status", sha).split("\0")
        assert dict(zip(changed[1::2], changed[::2], strict=False))[path] == "AMD"[event]
    assert {event for _, _, event, _ in rows} == {0, 1, 2}
    assert {(project, sha) for project, sha, *_ in rows} == {
        (number, sha) for number in sample.filled for sha in commits(sample.own(number, ".design"))
    }


def test_the_file_of_a_snippet_has_the_content_of_its_row(sample_on_disk):
    sample = sample_on_disk
    snippets = {row["id"]: row for row in sample.table("snippets")}
    filled = 0
    for row in sample.table("snippet_repositories"):
        own, snippet = sample.root / f"{row['disk_path']}.git", snippets[row["snippet_id"]]
        if refs(own):
            filled += 1
            assert git(own, "cat-file", "blob", f"main:{snippet['file_name']}") == snippet["content"].removesuffix("\n")
    assert filled == 2 * len(sample.filled)


@pytest.mark.parametrize(("kind", "type"), [("", 0), (".wiki", 1), (".design", 2)])
def test_repositories_contain_the_pointers_of_their_lfs_objects(sample_on_disk, kind, type):
    listed = git(sample_on_disk.own(1, kind), "grep", "-h", "-a", "^oid sha256:", "main")
    oids = set(re.findall(r"oid sha256:([0-9a-f]{64})", listed))
    rows = sample_on_disk.table("lfs_objects_projects")
    assert oids == {row["oid"] for row in rows if row["project_id"] == 1 and (row["repository_type"] or 0) == type}
