"""What a job will cost, how its relations are split into parts, and which unit starts with which.

A unit is a worker that claims rows; the plan only says where each starts. A relation's cost is its top-level records
times the relations that are read for each of them, or its KiB where those are more: a few large records cost as much as
many small ones.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from project_export.ledger import Planned
from project_export.producers import Estimate
from project_export.settings import Settings
from project_export.tree import Relation, Tree

PARTS_PER_UNIT = 4
"""Maximum number of parts of a relation for each unit.

Small ones balance the units and are soon repeated, but each looks through all ids of its relation: 0.4 % of what
reading the issues of the sample costs.
"""


@dataclass(frozen=True)
class Plan:
    """Rows to be written to the ledger, a title per unit, and the top-level records of each relation.

    project: what people call the project by.
    """

    planned: tuple[Planned, ...]
    titles: tuple[str, ...]
    counts: Mapping[str, int]
    project: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return what the job keeps, so that a cleared run has the same units."""
        return {"titles": list(self.titles), "project": self.project}


def make_plan(tree: Tree, estimates: Mapping[str, Estimate], settings: Settings, *, split: bool) -> Plan:
    """Plan the relations named in `estimates`.

    split: whether big relations may be split, which needs one snapshot for all parts. The number of units grows with
    the cost, up to settings.units; the largest parts go first, each to the unit with the least so far.
    """
    most = PARTS_PER_UNIT * settings.units if split else 1
    pieces: list[tuple[int, str, int, int]] = []
    for name, estimate in estimates.items():
        wanted = max(-(-estimate.records // settings.part_rows), -(-estimate.bytes // settings.part_bytes))
        parts = max(1, min(most, wanted, estimate.records))
        whole = max(estimate.records * _breadth(tree.relation(name)), estimate.bytes >> 10)
        cost = max(1, whole // parts)
        pieces += [(cost, name, part, parts) for part in range(parts)]
    total = sum(cost for cost, *_ in pieces)
    units = max(1, min(settings.units, len(pieces), total // settings.unit_cost))
    loads = [(0, unit) for unit in range(units)]
    order = {name: position for position, name in enumerate(tree.names)}
    planned = []
    for cost, name, part, parts in sorted(pieces, key=lambda piece: (-piece[0], order[piece[1]], piece[2])):
        load, unit = heapq.heappop(loads)
        heapq.heappush(loads, (load + cost, unit))
        planned.append(Planned(name, order[name], unit=unit, estimate=cost, part=part, parts=parts))
    titles = (_title([piece for piece in planned if piece.unit == unit]) for unit in range(units))
    return Plan(tuple(planned), tuple(titles), {name: estimate.records for name, estimate in estimates.items()})


def _breadth(relation: Relation) -> int:
    return sum(1 for _ in relation.walk())


def _title(pieces: list[Planned]) -> str:
    """Say what a unit begins with: `issues (4 of 16 parts), labels and 3 more`, the costliest first."""
    parts = {piece.relation: piece.parts for piece in pieces}
    names = []
    for name, own in Counter(piece.relation for piece in pieces).items():
        of = "" if own == parts[name] else f" of {parts[name]}"
        names.append(name if parts[name] == 1 else f"{name} ({own}{of} parts)")
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
