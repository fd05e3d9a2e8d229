"""The commits of a project's repository, made in the order in which its rows refer to them.

A commit is made from a number that the caller has drawn, its nonce, so no two are the same. All projects start with the
same commits; those that share an object pool borrow them from it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from project_export.sample.disk import Disk, hashed
from project_export.sample.objects import Commit, Folder, Signature
from project_export.sample.repository import SOMEONE, Repository
from project_export.sample.values import FIRST_DAY

POOL = 1
"""The id of the object pool."""
RECENT = 64
_START: tuple[tuple[str, Mapping[str, bytes]], ...] = (
    ("Add a README", {"README.md": "# Tools\n\nA “sample” of a project 🐢\n".encode()}),
    ("Keep large files out", {".gitattributes": b"*.bin filter=lfs diff=lfs merge=lfs -text\n"}),
    ("Build with CI", {".gitlab-ci.yml": b"rspec:\n  script: [bundle exec rspec]\n", "docs/ünï.md": b"# Docs\n"}),
)


class Detail(NamedTuple):
    """What a row has of a commit. by: its author; committer: who committed it, and when."""

    nonce: str
    by: Signature
    committer: Signature
    message: str


@dataclass
class Request:
    """The commits of a merge request.

    base, head: where the latest version of its diff starts and ends. merged: what merging it would give, as the ref
    refs/merge-requests/<iid>/merge; None: not tried.
    """

    base: Commit
    head: Commit
    merged: Commit | None = None


def pool(disk: Disk | None) -> Repository:
    """Return the object pool, with the commits that all projects start with; it is written at once."""
    made = Repository(disk, hashed("@pools", POOL))
    made.refs["refs/remotes/origin/heads/main"] = _start(made).id
    made.write()
    return made


def _start(repository: Repository) -> Commit:
    parents: list[Commit] = []
    for message, changes in _START:
        parents = [repository.commit(parents, changes, f"{message}\n")]
    return parents[0]


class History:
    """A repository with the branch main, which grows; the project must not be an empty one.

    files: what the project itself adds at the start, by path.
    """

    def __init__(self, repository: Repository, files: Mapping[str, bytes]) -> None:
        self.repository = repository
        self.recent: deque[str] = deque(maxlen=RECENT)
        """The ids of the latest commits of any branch."""
        first = _start(repository)
        repository.branch("release/1.0", first)
        if repository.head != "main":
            repository.branch(repository.head, first)
        self.main = self._moved(repository.commit([first], files, "Add the files of this project\n"))

    def grow(self, nonce: str, at: datetime = FIRST_DAY) -> Commit:
        """Add a commit to main."""
        return self._moved(self._change(self.main, nonce, at))

    def some(self, nonce: str) -> str:
        """Return the id of one of the latest commits."""
        return self.recent[int(nonce[:8], 16) % len(self.recent)]

    def add_branch(self, name: str, nonce: str) -> Commit:
        """Add a branch with one commit more than main."""
        made = self._noted(self._change(self.main, nonce, FIRST_DAY))
        self.repository.branch(name, made)
        return made

    def release(self, nonce: str, tag: str, annotated: bool) -> Commit:
        """Add a commit to main and tag it."""
        made = self.grow(nonce)
        objects = self.repository.objects
        self.repository.refs[f"refs/tags/{tag}"] = (
            objects.tag(tag, made, SOMEONE, f"Release “{tag}”") if annotated else made.id
        )
        return made

    def version(self, base: Commit, details: list[Detail]) -> list[Commit]:
        """Return the commits of a version of a merge request's diff, the newest first, like their details."""
        made = [base]
        for detail in reversed(details):
            files = self.repository.changed(made[0].files, _note(detail.nonce))
            made.insert(0, self._described([made[0]], files, detail))
        return made[:-1]

    def merge_as(self, base: Commit, head: Commit, detail: Detail) -> Commit:
        """Return a merge of a merge request's head into what main was then, with a given description."""
        files = self.repository.objects.merged(base.files, head.files)
        return self._described([base, head], files, detail)

    def try_merge(self, request: Request, nonce: str, at: datetime) -> Commit:
        """Return a merge of a merge request into main, which stays as it is."""
        return self._merge(self.main, request.head, nonce, at)

    def merge(self, request: Request, nonce: str, squash_nonce: str, at: datetime) -> tuple[Commit, Commit]:
        """Merge a merge request into main, as one commit; return the merge and that commit."""
        files, objects = request.head.files, self.repository.objects
        message = f"Squash a merge request\n\nChange-Id: I{squash_nonce}\n"
        squash = self._noted(objects.commit([request.base], files, Signature(SOMEONE.by, at), message))
        return self._moved(self._merge(self.main, squash, nonce, at)), squash

    def add_request(self, iid: int, request: Request, branch: str | None) -> None:
        """Add the refs of a merge request. branch: its source branch, None if that was deleted."""
        refs, ref = self.repository.refs, f"refs/merge-requests/{iid}"
        refs[f"{ref}/head"] = request.head.id
        if request.merged:
            refs[f"{ref}/merge"] = request.merged.id
        if branch:
            self.repository.branch(branch, request.head)

    def _merge(self, base: Commit, head: Commit, nonce: str, at: datetime) -> Commit:
        objects = self.repository.objects
        message = f"Merge a branch into main\n\nChange-Id: I{nonce}\n"
        files = objects.merged(base.files, head.files)
        return objects.commit([base, head], files, Signature(SOMEONE.by, at), message)

    def _change(self, parent: Commit, nonce: str, at: datetime) -> Commit:
        return self.repository.commit([parent], _note(nonce), f"Change {nonce[:8]}\n", Signature(SOMEONE.by, at))

    def _described(self, parents: list[Commit], files: Folder, detail: Detail) -> Commit:
        made = self.repository.objects.commit(parents, files, detail.by, detail.message, detail.committer)
        return self._noted(made)

    def _moved(self, commit: Commit) -> Commit:
        self.main = self._noted(commit)
        self.repository.branch("main", commit)
        return commit

    def _noted(self, commit: Commit) -> Commit:
        self.recent.append(commit.id)
        return commit


def _note(nonce: str) -> dict[str, bytes]:
    """Return a change that no other commit makes; the number of files stays small."""
    return {f"changes/{nonce[0]}.txt": f"{nonce}\n".encode()}
