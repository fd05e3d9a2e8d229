"""The archive that GitLab imports.

Facts: exports of GitLab 16.11 to 18.9; GitLab's lib/gitlab/import_export (version_saver.rb, lfs_saver.rb,
json/ndjson_reader.rb, decompressed_archive_size_validator.rb), its application settings, and ActiveSupport::JSON.
"""

from __future__ import annotations

from project_export.formats.format import Escapes, Format, FromSetting, Limits

MIB = 1 << 20
GIB = 1 << 30

VERSION = "VERSION"
GITLAB_VERSION = "GITLAB_VERSION"
GITLAB_REVISION = "GITLAB_REVISION"
LFS_OBJECTS = "lfs-objects.json"

FORMAT_VERSION = "0.2.4"

LIMITS = Limits(
    # MAX_JSON_DOCUMENT_SIZE
    line=50 * MIB,
    on_line="GitLab refuses an archive with such a line",
    # the default of max_decompressed_archive_size
    unpacked=25 * GIB,
    on_unpacked="GitLab refuses more than 25 GiB until its setting max_decompressed_archive_size is raised",
    # max_import_size of GitLab.com; elsewhere it is unlimited by default
    stored=5 * GIB,
    on_stored="GitLab.com refuses more than 5 GiB, other installations refuse more than their setting max_import_size",
)

GITLAB = Format(
    "gitlab",
    application="GitLab",
    version="gitlab_version",
    files={
        VERSION: FORMAT_VERSION,
        GITLAB_VERSION: FromSetting("gitlab_version"),
        GITLAB_REVISION: FromSetting("gitlab_revision"),
        LFS_OBJECTS: "{}",
    },
    # Rails escapes these, because HTML and JavaScript would misread them
    escapes=Escapes(
        {
            b"<": rb"\u003c",
            b">": rb"\u003e",
            b"&": rb"\u0026",
            "\u2028".encode(): rb"\u2028",
            "\u2029".encode(): rb"\u2029",
        }
    ),
    importer="gitlab",
    limits=LIMITS,
)
