"""`project-export plan`: what an export would read, how it would be split, and where each worker would start."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from project_export import libpq
from project_export.archive.oversize import too_large
from project_export.cli.exits import errors
from project_export.cli.options import GitlabVersion, settings
from project_export.formats import Limits as FormatLimits
from project_export.plan import Plan
from project_export.request import Request
from project_export.shell import source_name
from project_export.source import Limits, Session
from project_export.steps import plan_export
from project_export.tree import load

_PIPE_COLUMNS = 500
"""Width for an output that is not a terminal: nothing is cut or wrapped."""
_NUMBERS = ("records", "bytes", "cost", "parts")


def plan(
    project_id: Annotated[int, typer.Option(help="The project's id in the source.")],
    source: Annotated[str, typer.Option(help="DSN of the database to read: libpq URI or keyword string.")],
    relations: Annotated[str, typer.Option(help="Names of relations, separated by commas; all when empty.")] = "",
    units: Annotated[int, typer.Option(min=0, help="Maximum number of workers; the setting when 0.")] = 0,
    consistency: Annotated[str, typer.Option(help="project: one snapshot for all; relation: one for each.")] = "",
    tree: Annotated[str, typer.Option(help="A shipped tree or the path of a YAML file; the setting when empty.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    gitlab_version: GitlabVersion = "",
) -> None:
    """Print how an export would be planned now, with the settings of this environment. It only reads."""
    with errors():
        source_name(source)  # otherwise libpq's message might show part of the password
        given = settings(gitlab_version=gitlab_version)
        given = given.model_copy(update={"units": units or given.units})
        loaded = load(tree or given.tree, given.edition)
        names = [name.strip() for name in relations.split(",") if name.strip()]
        params = {"project_id": project_id, "relations": names, "consistency": consistency or None}
        request = Request.from_params(params, loaded)
        limits = Limits(given.statement_timeout_seconds, given.lock_timeout_seconds)
        split = (request.consistency or given.consistency) == "project"
        policies, name = given.allow_row_security, f"project_export plan project {project_id}"
        with Session(lambda: libpq.connect(source), name, limits, policies=policies) as session:
            made = plan_export(session, loaded, project_id, request.relations, given, split=split)
    found = _described(made, loaded.format.limits)
    if as_json:
        print(json.dumps({"project_id": project_id, **found}, indent=2))
    else:
        _print(found)


def _described(made: Plan, limits: FormatLimits | None) -> dict[str, Any]:
    """Return the plan as plain values: relations by their cost, workers by their numbers, and the expected archive.

    limits: of the importer.
    """
    relations: dict[str, dict[str, Any]] = {}
    costs = [0] * len(made.titles)
    for piece in made.planned:
        size = made.estimates[piece.relation]
        new = {"relation": piece.relation, "records": size.records, "bytes": size.bytes}
        its = relations.setdefault(piece.relation, {**new, "cost": 0, "parts": 0, "units": []})
        its["cost"] += piece.estimate
        its["parts"] += 1
        its["units"] = sorted({*its["units"], piece.unit})
        costs[piece.unit] += piece.estimate
    expected = made.expected
    return {
        "relations": sorted(relations.values(), key=lambda its: -its["cost"]),
        "units": [
            {"unit": unit, "cost": cost, "begins_with": title}
            for unit, (cost, title) in enumerate(zip(costs, made.titles, strict=True))
        ],
        "archive_bytes": expected.stored,
        "unpacked_bytes": expected.unpacked,
        "warnings": list(too_large(expected.stored, expected.unpacked, limits, expected=True)),
    }


def _print(found: dict[str, Any]) -> None:
    console = Console(width=None if sys.stdout.isatty() else _PIPE_COLUMNS, highlight=False)
    table = Table("relation", box=SIMPLE)
    for name in _NUMBERS:
        table.add_column(name, justify="right")
    table.add_column("workers")
    for its in found["relations"]:
        numbers = ("?" if its[name] is None else f"{its[name]:,}" for name in _NUMBERS)
        table.add_row(its["relation"], *numbers, ", ".join(map(str, its["units"])))
    console.print(table)
    table = Table("worker", box=SIMPLE)
    table.add_column("cost", justify="right")
    table.add_column("starts with")
    for its in found["units"]:
        table.add_row(str(its["unit"]), f"{its['cost']:,}", its["begins_with"])
    console.print(table)
    print(f"archive: about {found['archive_bytes']:,} bytes, {found['unpacked_bytes']:,} once unpacked")
    for warning in found["warnings"]:
        print(f"warning: {warning}")
    parts = sum(its["parts"] for its in found["relations"])
    print(f"{len(found['relations'])} relation(s), {parts} part(s), {len(found['units'])} worker(s)")
