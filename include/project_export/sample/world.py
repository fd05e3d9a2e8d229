"""What the parts of the generator share: the writer, the values, the people, and the projects in progress."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from project_export.sample.values import Values
from project_export.sample.writer import Writer

T = TypeVar("T")

ORGANIZATION = 1


@dataclass
class World:
    """Everything outside of projects; labels and milestones of groups are listed by group."""

    writer: Writer
    values: Values
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
    group_labels, group_milestones: those of its groups, which it may use.
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
    records: Counter[str] = field(default_factory=Counter)
    labels: list[int] = field(default_factory=list)
    milestones: list[int] = field(default_factory=list)
    external_pull_requests: list[int] = field(default_factory=list)
    pipeline_schedules: list[int] = field(default_factory=list)
    recent_issues: deque[int] = field(default_factory=lambda: deque(maxlen=20))
    recent_merge_requests: deque[int] = field(default_factory=lambda: deque(maxlen=20))
    _turns: Counter[str] = field(default_factory=Counter)

    def turn(self, name: str, options: Sequence[T]) -> T:
        """Return the next option; after the last comes the first again."""
        option = options[self._turns[name] % len(options)]
        self._turns[name] += 1
        return option

    def number(self, name: str) -> int:
        """Return the next number of a series within the project, from 1 (iid)."""
        self._turns[name] += 1
        return self._turns[name]
