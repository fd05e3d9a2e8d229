"""The versions of a merge request's diff, with their commits and files.

GitLab stores a commit in one of two ways: in the columns of merge_request_diff_commits, as it always used to, or once
per project in merge_request_commits_metadata, where its own columns are NULL. This uses both if the database has both.
Rows in a table that was replaced are stale; here they contain canaries.
"""

from __future__ import annotations

import base64
import json
from datetime import datetime

from project_export.sample.notes import Where
from project_export.sample.positions import Refs
from project_export.sample.values import NASTY
from project_export.sample.world import Project, World

REGULAR, MERGE_HEAD = 1, 2
BINARY = base64.b64encode("Binary “content” that is text: é 🚀\n".encode()).decode()
CONTENTS: tuple[tuple[bool | None, str], ...] = (
    (False, "patch"),
    (True, BINARY),
    (False, "patch"),
    (None, "patch"),
    (False, ""),
    (False, f"@@ -1 +1 @@\n-{NASTY[1]}\n+{NASTY[3]}{NASTY[6]}\n\\ No newline at end of file\n"),
)
"""Whether a diff is binary, and the diff, which is empty if it is too large."""


def add_diffs(world: World, project: Project, merge_request: int, number: int, at: datetime) -> Where:
    """Add one to three regular versions and sometimes a merge_head one; only the last regular one is exported.

    Return where notes can be in that one.
    """
    versions = 1 + number % 3
    for version in range(versions):
        latest = version == versions - 1
        diff, where = _add_diff(world, project, merge_request, at, REGULAR, latest)
    world.writer.name_latest_diff(merge_request, diff)
    if number % 4 == 0:
        _add_diff(world, project, merge_request, at, MERGE_HEAD, latest=False)
    return where


def _add_diff(
    world: World, project: Project, merge_request: int, at: datetime, diff_type: int, latest: bool
) -> tuple[int, Where]:
    values = world.values
    shas = [values.sha() for _ in range((1 + values.tail(1, most=60)) if latest else 1)]
    files = (1 + values.tail(1, most=60)) if latest else 1
    base = values.sha()
    refs = Refs(base=base, start=base, head=shas[0])
    diff = world.writer.add(
        "merge_request_diffs",
        state=project.turn("diff state", ("collected", "overflow", "without_files")),
        merge_request_id=merge_request,
        created_at=at,
        updated_at=values.after(at),
        base_commit_sha=refs.base,
        real_size=str(files) if files < 50 else f"{files}+",
        head_commit_sha=refs.head,
        start_commit_sha=refs.start,
        base_commit_sha_bytea=bytes.fromhex(refs.base),
        start_commit_sha_bytea=bytes.fromhex(refs.start),
        head_commit_sha_bytea=bytes.fromhex(refs.head),
        commits_count=len(shas),
        files_count=files,
        stored_externally=False,
        sorted=project.turn("sorted", (True, False)),
        diff_type=diff_type,
        patch_id_sha=values.sha_bytes(),
        project_id=project.id,
    )
    modern = _has_metadata(world, project.turn("commit storage", (True, False, True)))
    for order, sha in enumerate(shas):
        _add_commit(world, project, diff, order, sha, at, modern)
    paths = [_add_file(world, project, diff, order) for order in range(files)]
    return diff, Where(refs, paths[0])


def _has_metadata(world: World, wanted: bool) -> bool:
    """Return whether a diff's commits are stored as metadata: as wanted, if the database has both ways."""
    if not world.writer.has("merge_request_commits_metadata"):
        return False
    return wanted or not world.writer.has("merge_request_diff_commits", "sha")


def _add_commit(world: World, project: Project, diff: int, order: int, sha: str, at: datetime, modern: bool) -> None:
    values, writer = world.values, world.writer
    content = {
        "authored_date": at,
        "committed_date": values.after(at),
        "sha": bytes.fromhex(sha),
        "message": values.text(),
        "commit_author_id": values.pick(world.commit_users),
        "committer_id": values.pick(world.commit_users),
    }
    own = {"merge_request_diff_id": diff, "relative_order": order, "project_id": project.id}
    if not modern:
        trailers = {"Signed-off-by": "Zoë “Z” <zoe@example.com>", "Fixes": "<#1> & #2"} if order % 2 == 0 else {}
        writer.attach("merge_request_diff_commits", **own, **content, trailers=json.dumps(trailers))
        return
    metadata = writer.add("merge_request_commits_metadata", project_id=project.id, **content)
    own["merge_request_commits_metadata_id"] = metadata
    writer.attach("merge_request_diff_commits", **own)
    writer.attach("merge_request_diff_commits_b5377a7a34", **own)
    if order == 0:
        stale = {"message": "CANARY stale", "sha": b"CANARY", "trailers": '{"CANARY": "stale"}'}
        writer.attach("merge_request_diff_commits_archived", **own, **stale)


def _add_file(world: World, project: Project, diff: int, order: int) -> str:
    """Add a file and return its path. Since 18.4 a new path that equals the old one is NULL; older rows have it."""
    values, writer = world.values, world.writer
    path = values.path()
    renamed = project.turn("renamed", (False, False, True))
    old_path = values.path() if renamed else path
    binary, content = project.turn("content", CONTENTS)
    since_18_4 = project.turn("new path", (False, True, True))
    shortened = since_18_4 and path == old_path and writer.nullable("merge_request_diff_files", "new_path")
    columns: dict[str, object] = {
        "merge_request_diff_id": diff,
        "relative_order": order,
        "new_file": project.turn("new file", (True, False)),
        "renamed_file": renamed,
        "deleted_file": project.turn("deleted", (False, False, False, True)),
        "too_large": content == "",
        "a_mode": project.turn("mode", ("100644", "0", "160000")),
        "b_mode": project.turn("mode", ("100644", "100755", "0")),
        "old_path": old_path,
        "new_path": None if shortened else path,
        "diff": values.patch() if content == "patch" else content,
        "binary": binary,
        "generated": False,
        "encoded_file_path": project.turn("encoded path", (False, False, True)),
        "project_id": project.id,
    }
    writer.attach("merge_request_diff_files", **columns)
    writer.attach("merge_request_diff_files_99208b8fac", **columns)
    if order == 0:
        stale = {"old_path": "CANARY/stale", "new_path": "CANARY/stale", "diff": "CANARY stale"}
        writer.attach("merge_request_diff_files_archived", **{**columns, **stale})
    return path
