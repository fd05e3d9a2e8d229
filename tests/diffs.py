"""A merge request with a diff of its own: the statements that make it, and where its commits and files are exported."""

from __future__ import annotations

from tests.archives import Record

DIFF = 900
"""The id of the newest diff of the first project's first merge request, which the tests make (900 in statements)."""
SHA = "aa" * 20
OTHER = "bb" * 20
MERGE_REQUEST = "UPDATE merge_requests SET title = 'The one' WHERE id = 1"
NEW_DIFF = (
    "INSERT INTO merge_request_diffs (id, merge_request_id, state, head_commit_sha, files_count, diff_type, project_id)"
    " VALUES (900, 1, 'collected', 'cc', 2, 1, 1)"
)
USERS = (
    "INSERT INTO merge_request_diff_commit_users (id, name, email, organization_id) VALUES"
    " (9001, 'Own', 'own@example.com', 1), (9002, 'Meta', NULL, 1)"
)
METADATA = (
    "INSERT INTO merge_request_commits_metadata"
    " (id, project_id, authored_date, committed_date, commit_author_id, committer_id, sha, message)"
    " VALUES (9001, 1, NULL, '2024-01-02', 9002, 9002, decode(repeat('bb', 20), 'hex'), NULL)"
)
OWN = f"'2023-01-01', '2023-01-02', '\\x{SHA}', 'own', '{{\"Signed-off-by\": \"me\"}}', 9001, 9001"
COMMIT = (
    "INSERT INTO merge_request_diff_commits (merge_request_diff_id, relative_order, authored_date, committed_date, sha,"
    " message, trailers, commit_author_id, committer_id, merge_request_commits_metadata_id, project_id) VALUES "
)


def the_one(found: dict[str, list[Record]]) -> Record:
    (request,) = (request for request in found["merge_requests"] if request["title"] == "The one")
    return request


def commits(found: dict[str, list[Record]]) -> list[Record]:
    return the_one(found)["merge_request_diff"]["merge_request_diff_commits"]


AS_OWN = {
    "authored_date": "2023-01-01T00:00:00.000Z", "committed_date": "2023-01-02T00:00:00.000Z", "relative_order": 0,
    "sha": SHA, "message": "own", "trailers": {}, "commit_author": {"name": "Own", "email": "own@example.com"},
    "committer": {"name": "Own", "email": "own@example.com"},
}  # fmt: skip
PERSON = {"name": "Meta", "email": None}
AS_METADATA = {
    "authored_date": None, "committed_date": "2024-01-02T00:00:00.000Z", "relative_order": 0, "sha": OTHER,
    "message": None, "trailers": {}, "commit_author": PERSON, "committer": PERSON,
    "merge_request_commits_metadata": {
        "authored_date": None, "committed_date": "2024-01-02T00:00:00.000Z", "sha": OTHER, "message": None,
        "commit_author": PERSON, "committer": PERSON,
    },
}  # fmt: skip


def file(order: int, new: str, diff: str | None, binary: str, diff_id: int = DIFF) -> str:
    """Return a row of a diff file as values of SQL."""
    text = "NULL" if diff is None else f"'{diff}'"
    return f"({diff_id}, {order}, false, false, false, false, '0', '1', {new}, 'old.rb', {text}, {binary})"


FILES = (
    "INSERT INTO {} (merge_request_diff_id, relative_order, new_file, renamed_file, deleted_file, too_large, a_mode,"
    ' b_mode, new_path, old_path, diff, "binary") VALUES {}'
)


def files(found: dict[str, list[Record]]) -> list[Record]:
    return the_one(found)["merge_request_diff"]["merge_request_diff_files"]
