"""What the parts of the generator share: the writer, the values, the people, and the projects in progress."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from project_export.sample.contents import pointer
from project_export.sample.disk import Disk
from project_export.sample.history import History
from project_export.sample.objects import Person
from project_export.sample.repository import Repository
from project_export.sample.side_repositories import Designs
from project_export.sample.values import Values
from project_export.sample.writer import Writer

T = TypeVar("T")

ORGANIZATION = 1


MENTIONED = 10
"""Of how many texts of a kind one names an upload."""


class Lfs(NamedTuple):
    """An LFS object: its id in the database, its name, and its size in bytes."""

    id: int
    oid: str
    size: int

    def pointer(self) -> bytes:
        """Return the file that replaces it in a repository."""
        return pointer(self.oid, self.size)


@dataclass
class World:
    """Everything outside of projects; labels and milestones of groups are listed by group.

    disk: where files are written; None: not at all. large_bytes: the size of large files, 0 if there are none.
    pool: the object pool, if projects share one. committers: who a row of commit_users describes.
    shared_lfs_object: one that the next project refers to as well.
    """

    writer: Writer
    values: Values
    disk: Disk | None = None
    large_bytes: int = 0
    pool: Repository | None = None
    committers: dict[int, Person] = field(default_factory=dict)
    shared_lfs_object: Lfs | None = None
    users: list[int] = field(default_factory=list)
    commit_users: list[int] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)
    group_labels: dict[int, list[int]] = field(default_factory=dict)
    group_milestones: dict[int, list[int]] = field(default_factory=dict)
    work_item_types: dict[int, int] = field(default_factory=dict)

    def user(self) -> int:
        """Return the id of some user."""
        return self.values.pick(self.users)


@dataclass
class Project:
    """A project in progress, with what its later rows refer to.

    records: how many records an export contains of each top-level relation. full: whether it has its optional settings.
    empty: whether it has only what every project has. builds: whether CI is enabled.
    group_labels, group_milestones: those of its groups, which it may use. repository: its own, empty if the project is.
    uploads_path: the folder of its uploads. history, designs: its commits; an empty project has none.
    uploads: how a text refers to each of its uploads.
    """

    id: int
    namespace: int
    groups: list[int]
    full: bool
    empty: bool
    builds: bool
    sizes: dict[str, int]
    group_labels: list[int]
    group_milestones: list[int]
    repository: Repository
    uploads_path: str
    history: History = field(init=False)
    designs: Designs = field(init=False)
    uploads: list[str] = field(default_factory=list)
    records: Counter[str] = field(default_factory=Counter)
    labels: list[int] = field(default_factory=list)
    milestones: list[int] = field(default_factory=list)
    external_pull_requests: list[int] = field(default_factory=list)
    pipeline_schedules: list[int] = field(default_factory=list)
    recent_issues: deque[int] = field(default_factory=lambda: deque(maxlen=20))
    recent_merge_requests: deque[int] = field(default_factory=lambda: deque(maxlen=20))
    _turns: Counter[str] = field(default_factory=Counter)

    @property
    def disk_path(self) -> str:
        """Where its repository is; those of its wiki and its designs are beside it."""
        return self.repository.path

    def write(self) -> None:
        """Write its repositories, once they are complete."""
        self.repository.write()
        if not self.empty:
            self.designs.write()

    def mention(self, kind: str, text: str) -> str:
        """Return a text, every tenth of its kind with the next upload of the project."""
        if self.number(f"{kind} text") % MENTIONED != 1 or not self.uploads:
            return text
        return f"{text}\n\n{self.turn('mentioned upload', self.uploads)}"

    def turn(self, name: str, options: Sequence[T]) -> T:
        """Return the next option; after the last comes the first again."""
        option = options[self._turns[name] % len(options)]
        self._turns[name] += 1
        return option

    def number(self, name: str) -> int:
        """Return the next number of a series within the project, from 1 (iid)."""
        self._turns[name] += 1
        return self._turns[name]
