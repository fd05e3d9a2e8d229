"""The branches of a job's repositories: read once, and kept in the store for all workers of the job."""

from __future__ import annotations

from dataclasses import replace

from project_export.errors import ArtifactMissing
from project_export.ledger import Job
from project_export.producers import Project
from project_export.producers.branches import RepositoryBranches, read_branches
from project_export.steps.context import Context


class JobBranches:
    """The branches as they were when the first worker of this generation needed them.

    project: as the worker's session sees it. generation: of the job's snapshot; with a new one, all are read again.
    """

    def __init__(self, ctx: Context, job: Job, project: Project, generation: int) -> None:
        self._ctx = ctx
        self._job = job
        self._project = project
        self._generation = generation
        self._known: dict[str, RepositoryBranches | None] = {}

    def of(self, relation: str) -> RepositoryBranches | None:
        """Return the branches of the repository of a relation; see `read_branches`."""
        if relation not in self._known:
            self._known[relation] = self._kept(relation)
        return self._known[relation]

    def _kept(self, relation: str) -> RepositoryBranches | None:
        store, key = self._ctx.store, self._ctx.key(self._job)
        # Attempts count from 1, so no part of a relation has this name.
        uri = store.part(key, f"{relation}.branches", self._generation, 0)
        try:
            with store.open(uri) as file:
                return RepositoryBranches.from_json(file.read())
        except ArtifactMissing:
            # A project keeps what it has read, and the session may have begun another snapshot since.
            branches = read_branches(replace(self._project), relation)
        if branches is not None:
            with store.writing(key, uri) as out:
                out.write(branches.to_json())
        return branches
