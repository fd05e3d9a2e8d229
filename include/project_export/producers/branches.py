"""The branches of a repository, for values of records that come from git."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import quote

from project_export.errors import ArchiveBroken
from project_export.producers.base import Project
from project_export.producers.entries import Entries
from project_export.producers.measure import first_repository
from project_export.repositories import Refs, branches
from project_export.store.uris import place

_BRANCH = "refs/heads/"
_USUAL = ("main", "master")


@dataclass(frozen=True)
class RepositoryBranches:
    """The branches of a repository at one moment.

    default: the name of the default branch, None if there is no branch. tips: their last commits, by name.
    """

    default: str | None = None
    tips: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def of(refs: Refs) -> RepositoryBranches:
        """Return the branches among refs.

        The default branch is the one that HEAD names, if it exists; else the only one, main or master, or the first
        (gitaly's internal/git/localrepo/refs.go).
        """
        branches = ((name.removeprefix(_BRANCH), tip) for name, tip in refs.refs.items() if name.startswith(_BRANCH))
        tips = {name: tip for name, tip in branches if _is_text(name)}
        named = (refs.head or "").removeprefix(_BRANCH)
        return RepositoryBranches(next((name for name in (named, *_USUAL, *tips) if name in tips), None), tips)

    def to_json(self) -> bytes:
        """Return the branches as JSON."""
        return json.dumps(asdict(self)).encode()

    @staticmethod
    def from_json(text: bytes) -> RepositoryBranches:
        """Parse the output of to_json. Raises ArchiveBroken."""
        try:
            return RepositoryBranches(**json.loads(text))
        except (ValueError, TypeError) as error:
            raise ArchiveBroken(f"The stored branches of a repository are damaged: {error}. Clear the run.") from error


def _is_text(name: str) -> bool:
    """Return whether a name is UTF-8; no other can be in a record."""
    return name.isprintable() or not any("\ud800" <= letter <= "\udfff" for letter in name)


def read_branches(project: Project, relation: str) -> RepositoryBranches | None:
    """Return the branches of the repository of a relation of one bundle; no branches if the source has none.

    Returns None if the settings do not say where it is, or if it is missing. Raises RepositoryRefused, GitFailed,
    GitUnusable.
    """
    content = project.bound.relation(relation).content
    assert content is not None, "the tree names a relation of bundles"
    if not project.locations.has_any(content.location):
        return None
    for entry in Entries(project, relation).read():
        uri = project.locations.uri(content.location, entry.part_of)
        if uri is None:
            return None
        root = place(uri)
        if not isinstance(root, Path):
            if not entry.present or entry.url is None:
                continue
            url, password = project.locations.login(f"{root}/{quote(entry.url)}")
            return RepositoryBranches.of(branches(url, project.git, password))
        repository = first_repository(root, entry.paths, project.git)
        if repository is not None:
            return RepositoryBranches.of(repository.refs())
        if entry.present:
            return None
    return RepositoryBranches()
