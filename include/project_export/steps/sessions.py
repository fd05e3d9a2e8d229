"""The session of a worker on the source: one connection, with the job's shared snapshot or a new one for each row."""

from __future__ import annotations

import logging
from dataclasses import replace

from project_export.errors import AttemptRevoked, SnapshotMissing, SourceBusy
from project_export.ledger import Claim, Job
from project_export.producers import Kind, Producer, Project, kind_of
from project_export.source import Session, Tables
from project_export.steps.branches import JobBranches
from project_export.steps.context import Context
from project_export.steps.hold import borrow, lend
from project_export.steps.planning import allowed, bound_tree, git_of
from project_export.steps.windows import window_of

log = logging.getLogger(__name__)


class UnitSource:
    """Opens and renews a worker's session, so that each row is read from the right snapshot.

    consistency=project: all rows of a generation share one snapshot, which the worker borrows from its holder. If there
    is no holder, a worker that may lend lends its own snapshot; if several may, one does and the others borrow from it.
    consistency=relation: each row has its own transaction, and so do rows that need no snapshot, while no other row is
    queued and nobody holds one.

    lends: whether the worker may lend. lending: whether it does, which means that others need it to keep running.
    """

    def __init__(self, ctx: Context, job: Job, name: str, *, lends: bool) -> None:
        self.session: Session | None = None
        self.lending = False
        self._ctx = ctx
        self._job = job
        self._name = name
        self._lends = lends
        self._shared = job.consistency == "project"
        self._generation = 0
        self._project: Project | None = None
        self._locations = ctx.locations()

    def ready(self) -> bool:
        """Prepare to read another row; return False if none is left.

        Call this before claiming a row, because lending queues older rows again.
        """
        if self.lending and self.session is not None and not self.session.lost:
            self._touch(self.session)
        session = self.session
        if session is not None and session.lost:
            self.close()
            session = None
        if session is None:
            self._open()
        elif not self._generation:
            session.renew()
            if self._project is not None:
                self._project = replace(self._project)  # a reader holds values of the last snapshot
        return self.session is not None

    def kind(self, claim: Claim) -> Kind:
        """Return the kind of a claimed row's relation."""
        return kind_of(self._ctx.tree.relation(claim.relation))

    def producer(self, claim: Claim) -> Producer:
        """Return the producer of a claimed row's part. Raises AttemptRevoked if the row belongs to another snapshot."""
        assert self.session is not None, "call ready() first"
        if claim.snapshot and self._shared and claim.generation != self._generation:
            self._ctx.ledger.claims.requeue({claim.row_id: claim.attempt}, "claimed by a worker with an older snapshot")
            self.close()
            message = f"{claim.relation} must be read from snapshot generation {claim.generation}"
            raise AttemptRevoked(f"{message}, not from generation {self._generation}")
        with self.session.attempt(claim.relation):
            if self._project is None or self._project.session is not self.session:
                self._project = self._seen(self.session)
            return self.kind(claim).producer(self._project, claim.relation, claim.part, claim.parts)

    def confirm(self, claim: Claim) -> None:
        """Raise SnapshotMissing, and end the session, if the records that were just read may be incomplete.

        On a standby, rows that a snapshot sees may be removed once the transaction that exported it has ended.
        Transactions that imported the snapshot then miss them without an error (observed with PostgreSQL 15).
        """
        session = self.session
        if not claim.snapshot or session is None or session.snapshot is None:
            return
        if not session.one("SELECT pg_is_in_recovery()")[0]:
            return
        try:
            self._ctx.session(f"{self._name} confirms", session.snapshot).close()
        except SnapshotMissing:
            self.close()
            raise

    def close(self) -> None:
        """End the session."""
        self._locations.close()
        session, self.session = self.session, None
        self.lending = False
        if session is not None:
            session.close()

    def _seen(self, session: Session) -> Project:
        settings = self._ctx.settings
        bound = bound_tree(self._ctx.tree, session, settings)
        project = Project(
            session,
            bound,
            Tables(session, bound, allowed(settings)),
            self._job.project_id,
            parameters={name: self._job.params.get(name) for name in self._ctx.tree.parameters},
            locations=self._locations,
            missing_files=settings.missing_files,
            git=git_of(settings),
            mtime=self._ctx.mtime(self._job),
            batch_rows=settings.batch_rows,
            batch_bytes=settings.batch_bytes,
            window=window_of(self._job),
            temporary=self._ctx.temporary(len(self._job.plan["titles"])),
        )
        return replace(project, branches=JobBranches(self._ctx, self._job, project, self._generation).of)

    def _open(self) -> None:
        if not self._shared:
            self.session = self._ctx.session(self._name)
            return
        wait_seconds = 0 if self._lends else self._ctx.settings.snapshot_wait_seconds
        while self.session is None:
            loan = borrow(self._ctx, self._job.id, self._name, wait_seconds)
            if loan is None:
                return
            if loan.session is not None:
                self.session, self._generation = loan.session, loan.generation
            elif self._lends:
                self._lend(loan.generation)
            else:
                message = f"nobody holds a snapshot for job {self._job.id} (waited {wait_seconds:.0f} s)"
                raise SnapshotMissing(f"{message}. Is a triggerer running, and has hold_snapshot started?")

    def _lend(self, seen: int) -> None:
        """Lend a new snapshot, unless another worker does. seen: the generation whose snapshot was lost."""
        session = self._ctx.session(self._name)
        try:
            self._generation = lend(self._ctx, self._job.id, session, seen)
        except BaseException as error:
            session.close()
            if not isinstance(error, AttemptRevoked):
                raise
            log.info("another worker lends a snapshot: %s", error)
        else:
            self.session, self.lending = session, True

    @staticmethod
    def _touch(session: Session) -> None:
        """Keep a transaction that others need from being terminated as idle."""
        try:
            session.one("SELECT 1")
        except SourceBusy as error:
            log.warning("the snapshot that this worker lends was lost: %s", error)
            session.close()
