"""The size of repositories on disk, as an estimate of their bundles."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from project_export.errors import ProjectExportError
from project_export.producers.base import Project
from project_export.producers.entries import Entry
from project_export.repositories import Git, Repository
from project_export.store.uris import place

log = logging.getLogger(__name__)


def first_repository(root: Path, paths: Sequence[str], git: Git) -> Repository | None:
    """Return the first of the repositories below a storage root that exists; see `Repository.open`."""
    opened = (Repository.open(root, path, git) for path in paths)
    return next((one for one in opened if one is not None), None)


def repository_bytes(project: Project, location: str, entry: Entry) -> int | None:
    """Return the bytes of the objects of an entry's repository, with those of its object pools.

    location: of the relation. 0 if it does not exist, or its location is not set; None if it is on a server, or cannot
    be read, which is logged: its export will report what is wrong. Only names and sizes of files are read.
    """
    uri = project.locations.uri(location, entry.part_of)
    if uri is None:
        return 0
    root = place(uri)
    if not isinstance(root, Path):
        return None
    try:
        repository = first_repository(root, entry.paths, project.git)
        return 0 if repository is None else repository.size() + repository.pools_size()
    except ProjectExportError as error:
        log.warning("%s cannot be measured: %s", entry.name, error)
        return None
