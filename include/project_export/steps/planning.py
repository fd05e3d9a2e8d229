"""Plan the export of a project from what the source has."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from project_export.errors import BadRequest
from project_export.external import Locations
from project_export.plan import Plan, make_plan
from project_export.producers import Estimate, Project, kind_of
from project_export.repositories import Git
from project_export.settings import Settings
from project_export.source import Allowed, Session, Tables, Window, title
from project_export.tree import BoundTree, Tree, bind, tables

log = logging.getLogger(__name__)


def plan_export(
    session: Session,
    tree: Tree,
    project_id: int,
    relations: Sequence[str],
    settings: Settings,
    *,
    split: bool,
    window: Window | None = None,
) -> Plan:
    """Plan the export of a project from quick counts, and log what the tree has and the source lacks.

    relations: names of those to export, all if empty; the root is always included. split: see `make_plan`. window:
    of an export of changes.
    Raises ProjectNotFound, SourceChanged, SourceFiltered, SourceBusy, and BadRequest for an optional relation that the
    source lacks.
    """
    bound = bound_tree(tree, session, settings)
    for item in bound.left_out:
        log.log(logging.WARNING if item.omission else logging.INFO, "%s", item)
    if bound.absent:
        log.info("optional, and not in this source: %s", ", ".join(bound.absent))
    for name in relations:
        if name not in bound.tree.exported:
            raise BadRequest(f"relation {name} is optional, and this source does not have it; see `tree check`")
    names = [name for name in bound.tree.exported if not relations or name in relations or name == tree.root.name]
    seen = Tables(session, bound, allowed(settings))
    seen.require(names)
    locations = Locations.of(settings.locations, tree.locations)
    project = Project(session, bound, seen, project_id, locations=locations, git=git_of(settings), window=window)
    plan = make_plan(bound.tree, _estimates(project, names), settings, split=split)
    return replace(plan, project=title(session, bound, project_id))


def bound_tree(tree: Tree, session: Session, settings: Settings) -> BoundTree:
    """Fit the tree to the source. The settings name its version and what it may lack. Raises SourceChanged."""
    version = str(getattr(settings, tree.format.version))
    return bind(tree, session.catalogue(tables(tree)), version, settings.allowed)


def git_of(settings: Settings) -> Git:
    """Return how git is called."""
    return Git(settings.git_timeout_seconds, settings.git_user)


def allowed(settings: Settings) -> Allowed:
    """Return which tables may be read although rows may be hidden."""
    return Allowed.of(settings.allow_tables, policies=settings.allow_row_security)


def _estimates(project: Project, names: Sequence[str]) -> dict[str, Estimate]:
    """Return the estimate of each relation, in the order of the names."""
    kinds = {name: kind_of(project.bound.relation(name)) for name in names}
    found: dict[str, Estimate] = {}
    for kind in dict.fromkeys(kinds.values()):
        found.update(kind.estimates(project, [name for name in names if kinds[name] is kind]))
    return {name: found[name] for name in names}
