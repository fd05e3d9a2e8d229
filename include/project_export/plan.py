"""The plan of a job: its cost, how its relations are split into parts, and with which parts each unit starts.

A unit is a planned worker. Workers claim rows, so the plan only decides where each of them starts. A relation's cost is
the greater of two numbers: its top-level records times the relations that are read for each of them, and its size in
KiB. So a few large records cost as much as many small ones, and a large file or repository.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from project_export.ledger import Planned
from project_export.producers import Estimate, kind_of
from project_export.settings import Settings
from project_export.tree import Relation, Tree

PARTS_PER_UNIT = 4
"""Maximum number of parts of a relation per unit.

Small parts balance the load of the units and are quick to repeat. But each part scans all ids of its relation, which
takes 0.4 % of the time for reading the issues of the sample.
"""


BYTES_PER_COST = 120
"""Bytes of an archive per unit of the cost of records; the sample's projects take 70 to 115."""

RAW_BYTES_PER_COST = 500
"""The same before compression; the sample's projects take 320 to 490."""


@dataclass(frozen=True)
class Expected:
    """The expected size of an archive, in bytes.

    stored: of its file. unpacked: of what is in it. outside: of files and bundles alone, which count as compressed
    already. Repositories on servers, and those of relations of many, have an unknown size and count as nothing.
    """

    stored: int = 0
    unpacked: int = 0
    outside: int = 0


@dataclass(frozen=True)
class Plan:
    """The plan of a job.

    planned: the rows for the ledger. titles: one per unit. estimates: of each relation. sizes: the records and raw
    bytes that each relation is expected to have. project: its name for people.
    """

    planned: tuple[Planned, ...]
    titles: tuple[str, ...]
    estimates: Mapping[str, Estimate]
    expected: Expected = Expected()
    project: str = ""
    sizes: Mapping[str, Mapping[str, int | None]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return what the ledger keeps of the plan, so that a cleared run has the same units."""
        return {"titles": list(self.titles), "project": self.project, "expected": dict(self.sizes)}


def make_plan(tree: Tree, estimates: Mapping[str, Estimate], settings: Settings, *, split: bool) -> Plan:
    """Plan the relations named in `estimates`.

    split: whether large relations may be split; all parts must then be read from one snapshot. The number of units
    grows with the cost, up to settings.units. Parts are assigned by descending cost, each to the unit with the lowest
    cost so far. A unit more than the largest part leaves work for would have nothing to do.
    """
    most = PARTS_PER_UNIT * settings.units if split else 1
    pieces: list[tuple[int, str, int, int]] = []
    for name, estimate in estimates.items():
        wanted = max(-(-estimate.records // settings.part_rows), -(-(estimate.bytes or 0) // settings.part_bytes))
        parts = max(1, min(most, wanted, most if estimate.divisible else estimate.records))
        cost = max(1, _cost(tree.relation(name), estimate) // parts)
        pieces += [(cost, name, part, parts) for part in range(parts)]
    total, largest = sum(cost for cost, *_ in pieces), max((cost for cost, *_ in pieces), default=0)
    worth = min(total // settings.unit_cost, 1 + (total - largest) // settings.unit_cost)
    units = max(1, min(settings.units, len(pieces), worth))
    loads = [(0, unit) for unit in range(units)]
    order = {name: position for position, name in enumerate(tree.exported)}
    planned = []
    for cost, name, part, parts in sorted(pieces, key=lambda piece: (-piece[0], order[piece[1]], piece[2])):
        load, unit = heapq.heappop(loads)
        heapq.heappush(loads, (load + cost, unit))
        # Rows of the source decide which part has which of its records.
        snapshot = parts > 1 or kind_of(tree.relation(name)).needs.snapshot
        planned.append(Planned(name, order[name], unit=unit, estimate=cost, part=part, parts=parts, snapshot=snapshot))
    titles = (_title([piece for piece in planned if piece.unit == unit]) for unit in range(units))
    sizes = {name: _sizes(tree.relation(name), estimate) for name, estimate in estimates.items()}
    return Plan(tuple(planned), tuple(titles), estimates, _expected(tree, estimates), sizes=sizes)


def _cost(relation: Relation, estimate: Estimate) -> int:
    return max(estimate.records * sum(1 for _ in relation.walk()), (estimate.bytes or 0) >> 10)


def _sizes(relation: Relation, estimate: Estimate) -> dict[str, int | None]:
    records = relation.content is None
    raw_bytes = _cost(relation, estimate) * RAW_BYTES_PER_COST if records else estimate.bytes
    return {"records": estimate.records if records else None, "raw_bytes": raw_bytes}


def _expected(tree: Tree, estimates: Mapping[str, Estimate]) -> Expected:
    records = [name for name in estimates if tree.relation(name).content is None]
    cost = sum(_cost(tree.relation(name), estimates[name]) for name in records)
    outside = sum(estimate.bytes or 0 for name, estimate in estimates.items() if name not in records)
    return Expected(cost * BYTES_PER_COST + outside, cost * RAW_BYTES_PER_COST + outside, outside)


def _title(pieces: list[Planned]) -> str:
    """Return what a unit starts with, by descending cost, such as `issues (4 of 16 parts), labels and 3 more`."""
    parts = {piece.relation: piece.parts for piece in pieces}
    names = []
    for name, own in Counter(piece.relation for piece in pieces).items():
        of = "" if own == parts[name] else f" of {parts[name]}"
        names.append(name if parts[name] == 1 else f"{name} ({own}{of} parts)")
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
