"""Open the store that a setting names."""

from __future__ import annotations

from pathlib import Path

from project_export.store.base import Store
from project_export.store.local import LocalStore
from project_export.store.objects import ObjectStore
from project_export.store.uris import place


def open_store(uri: str) -> Store:
    """Return the store at `uri`: an absolute path, a file:// URI, or the URI of any file system of fsspec.

    A path is used literally, a file:// URI is percent-decoded. Nothing is opened yet. Raises BadRequest if `uri` is
    relative or does not name a folder.
    """
    found = place(uri)
    return LocalStore(found) if isinstance(found, Path) else ObjectStore(found)
