"""What the parts of the generator share: the writer, the values, the people, and the projects being made."""

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
    """Everything that is not inside one project; labels and milestones of groups are kept by group."""

    writer: Writer
    values: Values
    users: list[int] = field(default_factory=list)
    commit_users: list[int] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)
    group_labels: dict[int, list[int]] = field(default_factory=dict)
    group_milestones: dict[int, list[int]] = field(default_factory=dict)
    work_item_types: dict[int, int] = field(default_factory=dict)

    def user(self) -> int:
        """Return somebody's id."""
        return self.values.pick(self.users)


@dataclass
class Project:
    """A project being made, with what its later rows refer to.

    `records` counts what an export has to hold of each top-level relation. `full` says that its optional settings are
    there too. `empty` says that there is nothing but what every project has. `builds` says that CI is switched on.
    `group_labels` and `group_milestones` are those of the groups that it is in, which it may use.
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
        """Return the next of the options, which are gone through one after the other and then again."""
        option = options[self._turns[name] % len(options)]
        self._turns[name] += 1
        return option

    def number(self, name: str) -> int:
        """Return the next number from 1 of what is counted within a project (iid)."""
        self._turns[name] += 1
        return self._turns[name]
