"""Mirrors of repositories that are fetched from a URL: fresh, and removed afterwards.

A server does not advertise all refs: GitLab keeps back keep-around refs and others of its own, so a mirror lacks them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from project_export.repositories.git import Git
from project_export.repositories.repository import Repository
from project_export.repositories.server import served

_NAME = "mirror.git"


@contextmanager
def mirrored(url: str, git: Git, folder: Path, password: Callable[[], str] | None = None) -> Iterator[Repository]:
    """Fetch all refs that the server at `url` advertises into a new repository, and remove it at the end.

    folder: where the mirror is made. Other arguments: see `served`. Raises RepositoryRefused for another URL, GitFailed
    if git cannot fetch.
    """
    with served(url, git, folder, password) as server:
        path = server.work / _NAME
        with server.call("clone", "--mirror", "--quiet", "--template=", then=(path,)) as call:
            code, _ = call.whole()
            if code:
                raise server.failed(call)
        repository = Repository.open(server.work, _NAME, git)
        assert repository is not None
        yield repository
