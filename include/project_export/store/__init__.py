"""Where parts, archives and manifests are kept: a local folder, or any object store that universal_pathlib opens."""

from project_export.store.base import ARCHIVE, MANIFEST, JobKey, Store, manifest_of
from project_export.store.local import LocalStore, replacing
from project_export.store.objects import ObjectStore
from project_export.store.opened import open_store
from project_export.store.pieces import Assembled, Glue, Piece, StoredPiece, assemble, digest_of
from project_export.store.ranges import Contents, Source, StoredFile

__all__ = [
    "ARCHIVE",
    "MANIFEST",
    "Assembled",
    "Contents",
    "Glue",
    "JobKey",
    "LocalStore",
    "ObjectStore",
    "Piece",
    "Source",
    "Store",
    "StoredFile",
    "StoredPiece",
    "assemble",
    "digest_of",
    "manifest_of",
    "open_store",
    "replacing",
]
