"""What the benchmark is compared with: the targets of the design, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

REAL, WORST, REQUESTS, PIPELINES = "issues", "issues-worst", "merge_requests", "ci_pipelines"
"""The workloads: issues in both shapes, merge requests and pipelines in the real one."""

Of = Literal["cpu", "client", "server", "wall"]


@dataclass(frozen=True)
class Target:
    """A ratio of two ways on one workload, at most `limit`, or at least if `at_least`.

    title: what the report calls it. workload: one of those above, or `merge`. one, other: the ways. of: the cost that
    is compared. against: the cost of the other one, if it is another.
    """

    title: str
    workload: str
    one: str
    other: str
    limit: float
    of: Of = "cpu"
    against: Of | None = None
    at_least: bool = False


def _of_issues(workload: str, title: str) -> tuple[Target, ...]:
    return (
        Target(f"{title}: CPU against binary COPY", workload, "ours", "copy", 4.0),
        Target(f"{title}: CPU on the server against binary COPY", workload, "ours", "copy", 2.2, "server"),
        Target(f"{title}: CPU of the ORM against ours", workload, "orm", "ours", 7, at_least=True),
        Target(f"{title}: CPU of psycopg and orjson against ours", workload, "rows", "ours", 1.6, at_least=True),
        Target(f"{title}: CPU in 8 parts against one", workload, "ours-split", "ours", 1.1),
        Target(f"{title}: wall against CPU of one worker", workload, "ours", "ours", 0.6, "wall", "cpu"),
    )


RATIOS = (
    *_of_issues(REAL, "issues"),
    *_of_issues(WORST, "issues, worst case"),
    Target("merge requests: CPU against binary COPY", REQUESTS, "ours", "copy", 4.5),
    Target("CPU of the merge against cat", "merge", "merge-ours", "merge-cat", 3, "client"),
    Target(
        "CPU of tar and gzip -6 against the merge", "merge", "merge-gzip", "merge-ours", 70, "client", at_least=True
    ),
)
MEMORY_MB = 120
"""Of the process that exports records."""
FILES_MB = 200
"""Of the process that exports files."""
GROWTH = 10.5
"""CPU of ten times as many issues."""
POSITION_MICROS = 12
"""A usual position of a note on a diff."""
