"""Open the folder or bucket that a URI names."""

from __future__ import annotations

from pathlib import Path

from project_export.credentials import Credentials
from project_export.external.base import External
from project_export.external.local import Local
from project_export.external.remote import Remote
from project_export.store.bucket import Bucket
from project_export.store.uris import place


def open_external(uri: str, credentials: Credentials | None = None) -> External:
    """Return the files below `uri`: an absolute path, a file:// URI, or the URI of any file system of fsspec.

    Before the bucket, it may name a connection of `credentials`: s3://CONNECTION@bucket/prefix. Nothing is opened yet.
    Call this in the main thread of the process that reads the files. Raises BadRequest if `uri` is relative or does not
    name a folder, and what `Credentials.filesystem` raises.
    """
    found = place(uri)
    return Local(found) if isinstance(found, Path) else Remote(Bucket.of(found, credentials, "locations"))
