"""What GitLab's importer refuses, drops or needs, as far as it can be seen in a record.

Facts: GitLab's lib/gitlab/import_export (attribute_cleaner.rb, json/ndjson_reader.rb, members_mapper.rb,
decompressed_archive_size_validator.rb, base/relation_factory.rb, project/relation_factory.rb), application settings.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

from project_export.archive.findings import Version

MIB = 1 << 20
GIB = 1 << 30

# Since then each relation has an allow-list of keys, so that neither ids nor columns beside it leave.
ALLOW_LISTS: Version = (15,)
# Since then a relation of many without records has no file; before, an empty one.
NO_EMPTY_FILES: Version = (16, 11)

_PROHIBITED = re.compile(
    r"cached_markdown_version|.*(_ids?|_html)|.*attributes.*|remote_\w+_(url|urls|request_header)", re.DOTALL
)
_SECRET = re.compile(r"token|encrypted|secret|passw(or)?d|private_key|otp_|webhook|_salt|access_key", re.IGNORECASE)

# Columns in which users' own text lies as JSON: whatever keys it has are theirs.
FREE = frozenset({"options", "yaml_variables", "raw_metadata"})

# The importer strips NULs of these and of nothing else; PostgreSQL refuses the others.
TAKES_NUL = frozenset({"utf8_diff", "diff_export"})


@dataclass(frozen=True)
class Limits:
    """What a GitLab takes, in bytes.

    line: of one record, and of the root's file. unpacked: of the whole tar. stored: of the archive file.
    """

    line: int
    unpacked: int
    stored: int


# A line: MAX_JSON_DOCUMENT_SIZE. Unpacked: the default of max_decompressed_archive_size. Stored: max_import_size of
# GitLab.com; elsewhere it is unlimited by default.
GITLAB = Limits(line=50 * MIB, unpacked=25 * GIB, stored=5 * GIB)
# Of a database's rows no longer lines come: PostgreSQL makes no value over 1 GiB.
LONGEST_LINE = GIB


def prohibited(key: str, allowed: Container[str]) -> bool:
    """Whether the importer's attribute cleaner drops a key that its relation does not name.

    allowed: the keys that some relation names; among them are the references that the cleaner lets pass everywhere. An
    id passes only where its relation names it.
    """
    return key == "id" or (key not in allowed and _PROHIBITED.fullmatch(key) is not None)


def secret(key: str) -> bool:
    """Whether a key looks like a secret's."""
    return _SECRET.search(key) is not None


def lacks(relation: str, record: Mapping[str, Any]) -> str | None:
    """What the importer cannot do without in a record of a relation, nested or not; None when it is there."""
    if relation in ("notes", "commit_notes"):
        author = record.get("author")
        if not isinstance(author, dict) or not isinstance(author.get("name"), str):
            return "a note without author.name; the importer writes it below the note"
        if not isinstance(record.get("updated_at"), str):
            return "a note without updated_at; the importer writes it below the note"
    elif relation == "merge_request_diff_files" and not isinstance(record.get("utf8_diff"), str):
        return "a file of a diff without utf8_diff"
    elif relation == "note_diff_file" and not isinstance(record.get("diff_export"), str):
        return "a note's diff without diff_export"
    elif relation == "project_members":
        user = record.get("user")
        if user is None and not record.get("invite_email"):
            return "a member with neither user nor invite_email"
        if user is not None and not (isinstance(user, dict) and {"id", "username"} <= user.keys()):
            return "a member whose user has no id or username"
    return None
