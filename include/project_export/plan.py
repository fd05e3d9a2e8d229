"""What a job will cost, how its relations are split into parts, and which unit is to begin with which.

A unit is a worker that claims rows; the plan only says where each starts. A relation's cost is its top-level records
times the relations that are read for each of them.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from project_export.ledger import Planned
from project_export.settings import Settings
from project_export.tree import Relation, Tree

_MOST_PARTS = 512


@dataclass(frozen=True)
class Plan:
    """Rows to be written to the ledger, and a title per unit."""

    planned: tuple[Planned, ...]
    titles: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return what the job keeps, so that a cleared run has the same units."""
        return {"titles": list(self.titles)}


def make_plan(tree: Tree, counts: Mapping[str, int], settings: Settings, *, split: bool) -> Plan:
    """Plan the relations named in `counts` (name → top-level records).

    split: whether big relations may be split, which needs one snapshot for all parts. The number of units grows with
    the cost, up to settings.units; the largest parts go first, each to the unit with the least so far.
    """
    pieces: list[tuple[int, str, int, int]] = []
    for name, rows in counts.items():
        parts = min(_MOST_PARTS, max(1, -(-rows // settings.part_rows))) if split else 1
        cost = max(1, rows * _breadth(_find(tree, name)) // parts)
        pieces += [(cost, name, part, parts) for part in range(parts)]
    total = sum(cost for cost, *_ in pieces)
    units = max(1, min(settings.units, len(pieces), total // settings.unit_cost))
    loads = [(0, unit) for unit in range(units)]
    contents: list[list[str]] = [[] for _ in range(units)]
    order = {name: position for position, name in enumerate(tree.names)}
    planned = []
    for cost, name, part, parts in sorted(pieces, key=lambda piece: (-piece[0], order[piece[1]], piece[2])):
        load, unit = heapq.heappop(loads)
        heapq.heappush(loads, (load + cost, unit))
        contents[unit].append(name if parts == 1 else f"{name} {part + 1}/{parts}")
        planned.append(Planned(name, order[name], unit=unit, estimate=cost, part=part, parts=parts))
    return Plan(tuple(planned), tuple(_title(content) for content in contents))


def _breadth(relation: Relation) -> int:
    return sum(1 for _ in relation.walk())


def _find(tree: Tree, name: str) -> Relation:
    return next(relation for relation in (tree.root, *tree.relations) if relation.name == name)


def _title(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
