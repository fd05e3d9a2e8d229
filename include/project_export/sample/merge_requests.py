"""Merge requests and everything nested in them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from project_export.sample.diffs import add_diffs
from project_export.sample.history import Request
from project_export.sample.notes import (
    Where,
    add_awards,
    add_diff_note,
    add_events,
    add_label_links,
    add_legacy_diff_note,
    add_note,
    add_resource_events,
    add_system_note,
    add_timelogs,
)
from project_export.sample.values import NASTY
from project_export.sample.world import Project, World

OPENED, CLOSED, MERGED, LOCKED = 1, 2, 3, 4
STATUSES = ("can_be_merged", "unchecked", "checking", "cannot_be_merged", "preparing")
_HASH = "--- !ruby/hash:ActiveSupport::HashWithIndifferentAccess\n"
SOME_HEAD = "0f23456789abcdef0123456789abcdef01234567"
"""Stands for the head of the merge request."""
MERGE_PARAMS = (
    f"{_HASH}force_remove_source_branch: '1'\n",
    f"{_HASH}force_remove_source_branch: '0'\n",
    f"{_HASH}force_remove_source_branch: true\nsha: {SOME_HEAD}\n",
    "--- {}\n",
    f"{_HASH}auto_merge_strategy: merge_when_checks_pass\nshould_remove_source_branch: false\n"
    'commit_message: "Merge branch \'ü\' into \\"main\\"\\n\\nSee <!1> & more"\n',
    f"{_HASH}commit_message: |-\n  Merge “branch”\n\n  with: a colon\nsquash_commit_message:\n",
)
NOTE_KINDS = ("line", "lines", "image", "file")
"""What notes on a diff refer to, in turn."""
FIRST_NOTES = 24


def add_merge_request(world: World, project: Project, number: int) -> None:
    """Add the number-th merge request, from 0; the first has the most notes, and every value."""
    values, writer = world.values, world.writer
    at = values.at(number)
    merge_request = writer.reserve("merge_requests")
    row, merge = _draw_row(world, project, number, at)
    project.recent_merge_requests.append(merge_request)
    project.records["merge_requests"] += 1
    where, request = add_diffs(world, project, merge_request, number, at)
    _add_row(world, project, merge_request, row, _with_commits(project, row, merge, request))
    for user in values.few(world.users, 2):
        writer.add(
            "approvals",
            merge_request_id=merge_request,
            user_id=user,
            created_at=at,
            updated_at=values.after(at),
            patch_id_sha=values.sha_bytes(),
            project_id=project.id,
        )
    _add_metrics(world, project, merge_request, at, full=number % 3 == 0)
    add_awards(world, "MergeRequest", merge_request, at)
    for user in values.few(world.users, 2):
        writer.add(
            "merge_request_assignees",
            user_id=user,
            merge_request_id=merge_request,
            created_at=at,
            project_id=project.id,
        )
    for user in values.few(world.users, 2):
        writer.add(
            "merge_request_reviewers",
            user_id=user,
            merge_request_id=merge_request,
            created_at=values.after(at),
            state=project.turn("reviewer state", tuple(range(6))),
            project_id=project.id,
        )
    _add_notes(world, project, merge_request, at, where, FIRST_NOTES if number == 0 else values.tail(1.5))
    add_events(world, project, "MergeRequest", merge_request, at)
    add_timelogs(world, project, "merge_request_id", merge_request, at)
    add_label_links(world, project, "MergeRequest", merge_request, at)
    add_resource_events(world, project, "merge_request_id", merge_request, at)


def _draw_row(world: World, project: Project, number: int, at: datetime) -> tuple[dict[str, Any], _Merge]:
    """Return the columns of a merge request, and what is stored about its merge, with nonces instead of commits."""
    values = world.values
    milestones = [*project.milestones, *project.group_milestones]
    state = project.turn("merge request state", (MERGED, OPENED, CLOSED, LOCKED))
    merged, full, draft = state == MERGED, number == 0, number % 5 == 4
    merge = _Merge(
        user=world.user() if merged else None,
        params=project.turn("merge params", MERGE_PARAMS),
        error=project.turn("merge error", (NASTY[6], None, None, None)),
        status=project.turn("merge status", STATUSES),
        squash=project.turn("squash", (True, False)),
        commit_sha=values.nonce() if merged else None,
        in_progress_sha=values.nonce() if full or state == LOCKED else None,
        ref_sha=values.nonce() if number % 2 == 0 else None,
        squash_sha=values.nonce() if merged else None,
    )
    row: dict[str, Any] = {
        "target_branch": "main",
        "source_branch": values.branch(number),
        "source_project_id": project.id if number % 8 != 6 else None,  # a closed one whose fork was deleted
        "author_id": world.user(),
        "title": ("Draft: " if draft else "") + values.title(),
        "created_at": at,
        "updated_at": values.after(at),
        "milestone_id": values.maybe(milestones[-(number % len(milestones))], 0.6),
        "target_project_id": project.id,
        "iid": project.number("merge request iid"),
        "description": values.maybe(project.mention("merge request", values.text()), 0.9),
        "updated_by_id": values.maybe(world.user()),
        "approvals_before_merge": project.turn("approvals before merge", (2, None)),
        "rebase_commit_sha": project.turn("rebase", (values.nonce(), None)),
        "lock_version": values.random.randint(0, 5),
        "title_html": "<p>CANARY cached html</p>",
        "time_estimate": project.turn("merge request estimate", (7200, 0)),
        "last_edited_at": values.after(at) if full else None,
        "last_edited_by_id": world.user() if full else None,
        "discussion_locked": project.turn("merge request locked", (True, None, False)),
        "allow_maintainer_to_push": project.turn("maintainer", (True, False)),
        "state_id": state,
        "draft": draft,
    }
    return row, merge


def _with_commits(project: Project, row: dict[str, Any], merge: _Merge, request: Request) -> _Merge:
    """Make the commits of a merge and the refs of a merge request; replace the nonces. A rebase ended at its head."""
    history, at = project.history, row["created_at"]
    if merge.ref_sha and not request.merged:
        request.merged = history.try_merge(request, merge.ref_sha, at)
    if merge.in_progress_sha:
        trial = history.try_merge(request, merge.in_progress_sha, at)
        project.repository.keep(trial)
        merge = merge._replace(in_progress_sha=trial.id)
    if merge.commit_sha and merge.squash_sha:
        made, squash = history.merge(request, merge.commit_sha, merge.squash_sha, at)
        merge = merge._replace(commit_sha=made.id, squash_sha=squash.id)
    if row["rebase_commit_sha"]:
        row["rebase_commit_sha"] = request.head.id
    there = row["source_project_id"] and row["state_id"] != MERGED
    history.add_request(row["iid"], request, row["source_branch"] if there else None)
    return merge._replace(
        ref_sha=request.merged and request.merged.id, params=merge.params.replace(SOME_HEAD, request.head.id)
    )


def _add_row(world: World, project: Project, merge_request: int, row: dict[str, Any], merge: _Merge) -> None:
    ref_sha = merge.ref_sha and bytes.fromhex(merge.ref_sha)
    squash_sha = merge.squash_sha and bytes.fromhex(merge.squash_sha)
    world.writer.attach(
        "merge_requests",
        id=merge_request,
        **row,
        merge_status=merge.status,
        merge_error=merge.error,
        merge_params=merge.params,
        merge_user_id=merge.user,
        merge_commit_sha=merge.commit_sha,
        in_progress_merge_commit_sha=merge.in_progress_sha,
        squash=merge.squash,
        merge_jid="CANARY-jid",
        squash_commit_sha=squash_sha,
        merge_ref_sha=ref_sha,
    )
    world.writer.attach(
        "merge_requests_merge_data",
        merge_request_id=merge_request,
        project_id=project.id,
        merge_user_id=merge.user,
        merge_params=merge.params,
        merge_error=merge.error,
        merge_jid="CANARY-jid",
        merge_commit_sha=merge.commit_sha and bytes.fromhex(merge.commit_sha),
        merge_ref_sha=ref_sha,
        squash_commit_sha=squash_sha,
        in_progress_merge_commit_sha=merge.in_progress_sha and bytes.fromhex(merge.in_progress_sha),
        squash=merge.squash,
    )


class _Merge(NamedTuple):
    """What GitLab stores in merge_requests and, since 18.4, also in merge_requests_merge_data."""

    user: int | None
    params: str
    error: str | None
    status: str
    squash: bool
    commit_sha: str | None
    in_progress_sha: str | None
    ref_sha: str | None
    squash_sha: str | None


def _add_metrics(world: World, project: Project, merge_request: int, at: datetime, full: bool) -> None:
    values = world.values
    world.writer.add(
        "merge_request_metrics",
        merge_request_id=merge_request,
        latest_build_started_at=values.after(at) if full else None,
        latest_build_finished_at=values.after(at) if full else None,
        first_deployed_to_production_at=values.after(at) if full else None,
        merged_at=values.after(at) if full else None,
        created_at=at,
        updated_at=values.after(at),
        merged_by_id=world.user() if full else None,
        latest_closed_by_id=world.user() if full else None,
        latest_closed_at=values.after(at) if full else None,
        first_comment_at=values.after(at) if full else None,
        first_commit_at=values.after(at) if full else None,
        last_commit_at=values.after(at) if full else None,
        diff_size=values.random.randint(0, 100_000) if full else None,
        modified_paths_size=values.random.randint(1, 40) if full else None,
        commits_count=values.random.randint(1, 40) if full else None,
        first_approved_at=values.after(at) if full else None,
        first_reassigned_at=values.after(at) if full else None,
        added_lines=values.random.randint(0, 9999) if full else None,
        removed_lines=values.random.randint(0, 9999) if full else None,
        target_project_id=project.id,
    )


def _add_notes(world: World, project: Project, merge_request: int, at: datetime, where: Where, count: int) -> None:
    """Add notes: some on lines of the diff, with suggestions and the commented file, and others."""
    place_of = ("MergeRequest", merge_request, at)
    for place in range(count):
        system = place % 5 == 4
        if system:
            note = add_system_note(world, project, *place_of)
        elif place == 3:
            note = add_legacy_diff_note(world, project, *place_of, None)
        elif place % 2 == 0:
            kind = project.turn("note kind", NOTE_KINDS)
            commit = world.values.maybe(where.refs.head, 0.3)
            note = add_diff_note(world, project, *place_of, kind, where._replace(commit_id=commit))
            if kind in ("line", "lines"):
                _add_note_diff_file(world, project, note, place, where.path)
                _add_suggestions(world, project, note, most=3)
        else:
            note = add_note(world, project, *place_of, project.turn("note type", (None, "DiscussionNote")))
        if not system:
            add_awards(world, "Note", note, at, most=1)
        if place % 4 == 0:
            add_events(world, project, "Note", note, at, most=1, of="MergeRequest")


def _add_note_diff_file(world: World, project: Project, note: int, place: int, path: str) -> None:
    world.writer.add(
        "note_diff_files",
        diff=world.values.patch(),
        new_file=place % 4 == 0,
        renamed_file=place % 4 == 2,
        deleted_file=False,
        a_mode="0" if place % 4 == 0 else "100644",
        b_mode="100755",
        new_path=path,
        old_path=path,
        diff_note_id=note,
        namespace_id=project.namespace,
    )


def _add_suggestions(world: World, project: Project, note: int, most: int) -> None:
    values = world.values
    count = most if values.generous else values.random.randint(0, most)
    for order in reversed(range(count)):
        applied = project.turn("applied", (True, False))
        world.writer.add(
            "suggestions",
            relative_order=order,
            applied=applied,
            commit_id=project.history.some(values.nonce()) if applied else None,
            from_content=f"  {values.title()}\n",
            to_content=f"  {values.text()}\n",
            lines_above=values.random.randint(0, 3),
            lines_below=values.random.randint(0, 3),
            outdated=project.turn("outdated", (False, True)),
            note_id=note,
            namespace_id=project.namespace,
        )
