"""URIs of files and folders. URIs of local files are percent-encoded, as in RFC 8089."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

from project_export.errors import BadRequest

_LOCAL = "file://"
_PASSWORD = re.compile(r"://[^/@]*:[^@]*@")


def place(uri: str) -> Path | str:
    """Return the path of a local folder or file, or the URI of one that is not local.

    uri: a URI, or an absolute path, which is used literally. A trailing slash is removed.
    Raises BadRequest for a relative path, and for a URI that does not name anything below a root or a bucket.

    >>> place("file:///srv/my%20exports/100%25/"), place("/srv/100%25"), place("s3://bucket/exports/")
    (PosixPath('/srv/my exports/100%'), PosixPath('/srv/100%25'), 's3://bucket/exports')
    """
    local = _local_of(uri) if "://" in uri else Path(uri)
    if local is None and uri.partition("://")[2].strip("/"):
        return uri.rstrip("/")
    if local is not None and local.is_absolute() and local.name:
        return local
    raise BadRequest(
        f"The store {uri!r} is neither an absolute path nor the URI of a folder. Give e.g. file:///srv/exports."
    )


def without_connection(uri: str) -> tuple[str, str]:
    """Return the URI of a bucket without the connection before it, and that connection; empty if there is none.

    >>> without_connection("s3://minio@bucket/exports"), without_connection("s3://bucket/a@b")
    (('s3://bucket/exports', 'minio'), ('s3://bucket/a@b', ''))
    """
    scheme, separator, rest = uri.partition("://")
    bucket, slash, prefix = rest.partition("/")
    connection, _, bucket = bucket.rpartition("@")
    return f"{scheme}{separator}{bucket}{slash}{prefix}", connection


def has_password(uri: str) -> bool:
    """Return whether a URI contains a password, in which a slash may be unescaped.

    >>> has_password("s3://key:se/cret@bucket"), has_password("s3://minio@bucket/a:b")
    (True, False)
    """
    return _PASSWORD.search(uri) is not None


def uri_of(place: str | Path) -> str:
    """Return the percent-encoded file:// URI of an absolute path; a URI is returned unchanged.

    >>> uri_of(Path("/srv/my exports/100%")), uri_of("s3://bucket/exports")
    ('file:///srv/my%20exports/100%25', 's3://bucket/exports')
    """
    return f"{_LOCAL}{quote(os.fsencode(place))}" if isinstance(place, Path) else place


def shown(uri: str) -> str:
    """Return a URI for people to read: the path of a local file; any other URI unchanged.

    >>> shown("file:///srv/my%20exports"), shown("s3://bucket/exports")
    ('/srv/my exports', 's3://bucket/exports')
    """
    return str(place(uri))


def path_of(uri: str) -> Path:
    """Return the path of a file:// URI; the inverse of `uri_of`. Raises ValueError for any other URI."""
    if not uri.startswith(_LOCAL):
        raise ValueError(f"{uri} is not the URI of a local file")
    return Path(os.fsdecode(unquote_to_bytes(uri.removeprefix(_LOCAL))))


def _local_of(uri: str) -> Path | None:
    return path_of(uri) if uri.startswith(_LOCAL) else None
