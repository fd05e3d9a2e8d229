"""The versions of a merge request's diff, with their commits and files.

GitLab keeps commits in two ways, and this does both: in the columns of merge_request_diff_commits, or, as it does
today, once per project in merge_request_commits_metadata with the own columns left NULL.
"""

from __future__ import annotations

import base64
import json
from datetime import datetime

from project_export.sample.values import NASTY
from project_export.sample.world import Project, World

REGULAR, MERGE_HEAD = 1, 2
BINARY = (
    "Binary “content” that is text: é 🚀\n".encode(),
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\xff\xfe\xc3\x28 not UTF-8 \xf0\x9f\x92",
    "caf\u00e9\n".encode("latin-1"),
)


def add_diffs(world: World, project: Project, merge_request: int, number: int, at: datetime) -> None:
    """Add one to three regular versions, of which only the last is exported, and now and then a merge_head one."""
    versions = 1 + number % 3
    for version in range(versions):
        latest = version == versions - 1
        diff = _add_diff(world, project, merge_request, at, REGULAR, latest)
    world.writer.name_latest_diff(merge_request, diff)
    if number % 4 == 0:
        _add_diff(world, project, merge_request, at, MERGE_HEAD, latest=False)


def _add_diff(world: World, project: Project, merge_request: int, at: datetime, diff_type: int, latest: bool) -> int:
    values = world.values
    commits = (1 + values.tail(1, most=60)) if latest else 1
    files = (1 + values.tail(1, most=60)) if latest else 1
    diff = world.writer.add(
        "merge_request_diffs",
        state=project.turn("diff state", ("collected", "overflow", "without_files", "empty")),
        merge_request_id=merge_request,
        created_at=at,
        updated_at=values.after(at),
        base_commit_sha=values.sha(),
        real_size=str(files) if files < 50 else f"{files}+",
        head_commit_sha=values.sha(),
        start_commit_sha=values.sha(),
        commits_count=commits,
        files_count=files,
        sorted=project.turn("sorted", (True, False)),
        diff_type=diff_type,
        patch_id_sha=values.sha_bytes(),
        project_id=project.id,
    )
    modern = project.turn("commit storage", (False, True))
    for order in range(commits):
        (_add_modern_commit if modern else _add_own_commit)(world, project, diff, order, at)
    for order in range(files):
        _add_file(world, project, diff, order)
    return diff


def _add_own_commit(world: World, project: Project, diff: int, order: int, at: datetime) -> None:
    values = world.values
    trailers = {"Signed-off-by": "Zoë “Z” <zoe@example.com>", "Fixes": "<#1> & #2"} if order % 2 == 0 else {}
    world.writer.attach(
        "merge_request_diff_commits",
        authored_date=at,
        committed_date=values.after(at),
        merge_request_diff_id=diff,
        relative_order=order,
        sha=values.sha_bytes(),
        message=values.text(),
        trailers=json.dumps(trailers),
        commit_author_id=values.pick(world.commit_users),
        committer_id=values.maybe(values.pick(world.commit_users), 0.9),
        project_id=project.id,
    )


def _add_modern_commit(world: World, project: Project, diff: int, order: int, at: datetime) -> None:
    values = world.values
    metadata = world.writer.add(
        "merge_request_commits_metadata",
        authored_date=values.maybe(at, 0.9),
        committed_date=values.maybe(values.after(at), 0.9),
        project_id=project.id,
        commit_author_id=values.pick(world.commit_users),
        committer_id=values.pick(world.commit_users),
        sha=values.sha_bytes(),
        message=values.maybe(values.text(), 0.9),
    )
    own = {"merge_request_diff_id": diff, "relative_order": order, "project_id": project.id}
    own["merge_request_commits_metadata_id"] = metadata
    world.writer.attach("merge_request_diff_commits", **own)
    world.writer.attach("merge_request_diff_commits_b5377a7a34", **own)


def _add_file(world: World, project: Project, diff: int, order: int) -> None:
    values = world.values
    path = values.path()
    renamed = project.turn("renamed", (False, False, True))
    old_path = values.path() if renamed else path
    binary, content = project.turn("content", CONTENTS)
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
        "diff": values.patch() if content == "patch" else content,
        "binary": binary,
        "encoded_file_path": project.turn("encoded path", (False, False, True)),
        "project_id": project.id,
    }
    world.writer.attach("merge_request_diff_files", new_path=path, **columns)
    world.writer.attach("merge_request_diff_files_99208b8fac", new_path=path if renamed else None, **columns)


CONTENTS: tuple[tuple[bool | None, str | None], ...] = (
    (False, "patch"),
    (True, base64.b64encode(BINARY[0]).decode()),
    (False, "patch"),
    (None, "patch"),
    (True, base64.b64encode(BINARY[1]).decode()),
    (False, ""),
    (False, None),
    (True, base64.b64encode(BINARY[2]).decode()),
    (False, f"@@ -1 +1 @@\n-{NASTY[1]}\n+{NASTY[3]}{NASTY[6]}\n\\ No newline at end of file\n"),
)
