"""The versions of a merge request's diff, with their commits and files.

GitLab stores a commit in one of two ways: in the columns of merge_request_diff_commits, as it always used to, or once
per project in merge_request_commits_metadata, where its own columns are NULL. This uses both if the database has both.
Rows in a table that was replaced are stale; here they contain canaries.
"""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import datetime
from typing import Any

from project_export.sample.history import Detail, Request
from project_export.sample.notes import Where
from project_export.sample.objects import Signature
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


def add_diffs(world: World, project: Project, merge_request: int, number: int, at: datetime) -> tuple[Where, Request]:
    """Add one to three regular versions and sometimes a merge_head one; only the last regular one is exported.

    Return where notes can be in that one, and the commits of the merge request.
    """
    versions = 1 + number % 3
    for version in range(versions):
        latest = version == versions - 1
        diff, path, request = _add_diff(world, project, merge_request, at, None, latest)
        if not latest:
            project.repository.keep(request.head)
    world.writer.name_latest_diff(merge_request, diff)
    if number % 4 == 0:
        *_, merged = _add_diff(world, project, merge_request, at, request, latest=False)
        request = replace(request, merged=merged.head)
    base = request.base.id
    return Where(Refs(base=base, start=base, head=request.head.id), path), request


def _add_diff(
    world: World, project: Project, merge_request: int, at: datetime, merging: Request | None, latest: bool
) -> tuple[int, str, Request]:
    """Add a version of a diff, and return its id, the path of a file in it, and its commits.

    merging: what this version merges into main; None: it is a regular one.
    """
    values, writer = world.values, world.writer
    nonces = [values.nonce() for _ in range((1 + values.tail(1, most=60)) if latest else 1)]
    files = (1 + values.tail(1, most=60)) if latest else 1
    base = project.history.grow(values.nonce(), at)
    diff = writer.reserve("merge_request_diffs")
    columns = {
        "state": project.turn("diff state", ("collected", "overflow", "without_files")),
        "merge_request_id": merge_request,
        "created_at": at,
        "updated_at": values.after(at),
        "real_size": str(files) if files < 50 else f"{files}+",
        "commits_count": len(nonces),
        "files_count": files,
        "stored_externally": False,
        "sorted": project.turn("sorted", (True, False)),
        "diff_type": MERGE_HEAD if merging else REGULAR,
        "patch_id_sha": values.sha_bytes(),
        "project_id": project.id,
    }
    modern = _has_metadata(world, project.turn("commit storage", (True, False, True)))
    contents = [_draw_commit(world, at) for _ in nonces]
    details = [_detail(world, nonce, content) for nonce, content in zip(nonces, contents, strict=True)]
    if merging:
        commits = [project.history.merge_as(base, merging.head, details[0])]
    else:
        commits = project.history.version(base, details)
    for name, sha in (("base", base.id), ("start", base.id), ("head", commits[0].id)):
        columns |= {f"{name}_commit_sha": sha, f"{name}_commit_sha_bytea": bytes.fromhex(sha)}
    writer.attach("merge_request_diffs", id=diff, **columns)
    for order, (commit, content) in enumerate(zip(commits, contents, strict=True)):
        _add_commit(world, project, diff, order, {**content, "sha": bytes.fromhex(commit.id)}, modern)
    paths = [_add_file(world, project, diff, order) for order in range(files)]
    return diff, paths[0], Request(base, commits[0])


def _has_metadata(world: World, wanted: bool) -> bool:
    """Return whether a diff's commits are stored as metadata: as wanted, if the database has both ways."""
    if not world.writer.has("merge_request_commits_metadata"):
        return False
    return wanted or not world.writer.has("merge_request_diff_commits", "sha")


def _draw_commit(world: World, at: datetime) -> dict[str, Any]:
    """Return what the row of a commit has besides its id."""
    values = world.values
    return {
        "authored_date": at,
        "committed_date": values.after(at),
        "message": values.text(),
        "commit_author_id": values.pick(world.commit_users),
        "committer_id": values.pick(world.commit_users),
    }


def _detail(world: World, nonce: str, content: dict[str, Any]) -> Detail:
    author, committer = (world.committers[content[name]] for name in ("commit_author_id", "committer_id"))
    by, committed = Signature(author, content["authored_date"]), Signature(committer, content["committed_date"])
    return Detail(nonce, by, committed, content["message"])


def _add_commit(world: World, project: Project, diff: int, order: int, content: dict[str, Any], modern: bool) -> None:
    writer = world.writer
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
