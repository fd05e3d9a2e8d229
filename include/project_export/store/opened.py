"""Open the store that a setting names."""

from __future__ import annotations

from pathlib import Path

from project_export.credentials import Credentials
from project_export.errors import SettingRefused
from project_export.store.base import Store
from project_export.store.bucket import Bucket
from project_export.store.local import LocalStore
from project_export.store.objects import ObjectStore
from project_export.store.uris import has_password, place
from project_export.variables import variable


def open_store(uri: str, credentials: Credentials | None = None) -> Store:
    """Return the store at `uri`: an absolute path, a file:// URI, or the URI of any file system of fsspec.

    A path is used literally, a file:// URI is percent-decoded. Before the bucket, a URI may name a connection of
    `credentials`: s3://CONNECTION@bucket/prefix. The URIs of the store's files do not contain it, and other processes
    may use another one. Nothing is opened yet. Call this in the main thread of the process that uses the store.
    Raises BadRequest if `uri` is relative or does not name a folder, SettingRefused if it contains a password, and what
    `Credentials.filesystem` raises.
    """
    if has_password(uri):
        raise SettingRefused(
            f"{variable('store')} contains a password, and settings are not secret. Put it into a connection of "
            "Airflow, and write its id before the @."
        )
    found = place(uri)
    return LocalStore(found) if isinstance(found, Path) else ObjectStore(Bucket.of(found, credentials, "store"))
