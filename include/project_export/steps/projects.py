"""The projects of the source, as people and clients name them."""

from __future__ import annotations

from dataclasses import dataclass

from project_export.errors import ProjectNotFound
from project_export.source.title import find
from project_export.steps.context import Context


@dataclass(frozen=True)
class FoundProject:
    """A project of the source. title: what people call it (GitLab: its full path); empty if unknown."""

    id: int
    title: str


def find_project(ctx: Context, wanted: str) -> FoundProject:
    """Return the project with an id or a title. Raises ProjectNotFound, SourceRefused, SourceBusy."""
    with ctx.session("find a project") as session:
        found = find(session, ctx.tree, wanted.strip().strip("/"))
    if found is None:
        raise ProjectNotFound(f"the source {ctx.source} has no project {wanted!r}. Give its id, or its full path.")
    return FoundProject(*found)
