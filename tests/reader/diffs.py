"""The diff of a merge request with its commits and files (merge_request_diff.rb and its two children's models)."""

from __future__ import annotations

import base64
from typing import Any

from tests.reader.database import Database, Record, Row
from tests.reader.ruby import BLANK, SPACE
from tests.reader.values import stored

COMMITS = ("merge_request_diff_commits", "merge_request_diff_commits_b5377a7a34")
FILES = ("merge_request_diff_files", "merge_request_diff_files_99208b8fac")
METADATA = "merge_request_commits_metadata"
REGULAR = 1
COUNT_IS_UNKNOWN = (None, 32767)
"""FILES_COUNT_SENTINEL of merge_request_diff.rb, and what was stored before 13.0."""


def rows_of(db: Database, tables: tuple[str, str], diff_id: int) -> list[Row]:
    """Return a diff's rows in their order: from the table or, before the two were swapped, from its successor.

    After the swap the partitioned table has the table's name, and the old one (`_archived`) is never read.
    """
    for table in tables:
        if db.has(table) and (rows := db.where(table, merge_request_diff_id=diff_id)):
            return sorted(rows, key=lambda row: row["relative_order"])
    return []


def commits(db: Database, diff: Row) -> list[Row]:
    """The commits of a diff."""
    return rows_of(db, COMMITS, diff["id"])


def files(db: Database, diff: Row) -> list[Row]:
    """The files of a diff."""
    return rows_of(db, FILES, diff["id"])


# Commits


def metadata_of(db: Database, row: Row) -> Row | None:
    """Return the metadata of a commit: in its own project or, without one, in the merge request's target project."""
    metadata_id = row.get("merge_request_commits_metadata_id")
    if metadata_id is None or not db.has(METADATA):
        return None
    project_id = row.get("project_id")
    if project_id is None:
        (diff,) = db.where("merge_request_diffs", id=row["merge_request_diff_id"])
        (merge_request,) = db.where("merge_requests", id=diff["merge_request_id"])
        project_id = merge_request["target_project_id"]
    return db.one(METADATA, id=metadata_id, project_id=project_id)


def of_commit(db: Database, row: Row, key: str) -> Any:
    """With metadata, every value is from there, even NULL; if the metadata is missing, from the commit's columns."""
    return stored((metadata_of(db, row) or row).get(key))


def trailers(db: Database, row: Row, key: str) -> Record:
    """Since 19.0, which dropped work_item_types, the getter returns a constant; 17.0 to 18.x had no getter."""
    constant = db.has(METADATA) and not db.has("work_item_types")
    return {} if constant else row.get(key) or {}


def commit_author(db: Database, row: Row) -> list[Row]:
    """The author of a commit, or of a row of metadata."""
    return person(db, (metadata_of(db, row) or row).get("commit_author_id"))


def committer(db: Database, row: Row) -> list[Row]:
    """The committer of a commit, or of a row of metadata."""
    return person(db, (metadata_of(db, row) or row).get("committer_id"))


def person(db: Database, user_id: int | None) -> list[Row]:
    """Return the row of an author or committer."""
    return [] if user_id is None else db.where("merge_request_diff_commit_users", id=user_id)


def metadata(db: Database, row: Row) -> list[Row]:
    """The metadata again, as a record of its own."""
    found = metadata_of(db, row)
    return [found] if found else []


# Files


def utf8_diff(db: Database, row: Row, _: str) -> str:
    """merge_request_diff_file.rb#utf8_diff: only the merge_request_diff determines where the diff is stored."""
    (diff,) = db.where("merge_request_diffs", id=row["merge_request_diff_id"])
    if diff["stored_externally"]:
        start, size = row["external_diff_offset"], row["external_diff_size"]
        whole = db.external_diffs.get(diff["id"])
        content = whole[start : start + size] if whole and None not in (start, size) else b""
    else:
        content = (row["diff"] or "").encode()
    return decoded(content, bool(row["binary"]))


def decoded(content: bytes, binary: bool) -> str:
    """Return a diff as text: decoded from strict base64 if it is binary, '' if it is blank."""
    if binary:
        content = unpacked(content)
    try:
        text = content.decode()
    except UnicodeDecodeError:  # GitLab guesses the encoding first; if it is unknown, GitLab keeps what is valid
        text = content.decode(errors="ignore").replace("\0", "")
    return "" if BLANK.fullmatch(text) or not content.strip(SPACE[1:].encode()) else text


def unpacked(content: bytes) -> bytes:
    """Return the content of strict base64 (unpack1('m0')); return other content unchanged."""
    try:
        found = base64.b64decode(content, validate=True)
    except ValueError:
        return content
    return found if base64.b64encode(found) == content else content


# The diff


def head_commit_sha(db: Database, row: Row, key: str = "head_commit_sha") -> str | None:
    """NULL (before 8.4) becomes the sha of the diff's first commit, from that commit's getter."""
    if row[key] is not None:
        return row[key]
    its = commits(db, row)
    return of_commit(db, its[0], "sha") if its else None


def files_count(db: Database, row: Row, key: str) -> int:
    """The files are counted if the number is unknown or too large for its column."""
    return len(files(db, row)) if row[key] in COUNT_IS_UNKNOWN else row[key]


def saved_diff(db: Database, merge_request: Row) -> Row | None:
    """Return the regular diff with the highest id; latest_merge_request_diff_id is not read."""
    rows = db.where("merge_request_diffs", merge_request_id=merge_request["id"], diff_type=REGULAR)
    return rows[-1] if rows else None


def diff_head_sha(db: Database, merge_request: Row, _: str) -> str | None:
    """head_commit_sha of the saved diff; without one GitLab asks Git, and the value here is null."""
    row = saved_diff(db, merge_request)
    return head_commit_sha(db, row) if row else None
