"""What GitLab's importer refuses or drops whatever the relation: its limits, and names of keys.

Facts: GitLab's lib/gitlab/import_export (attribute_cleaner.rb, json/ndjson_reader.rb,
decompressed_archive_size_validator.rb), application settings. What it makes of each relation is data: models.py.
"""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass

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
