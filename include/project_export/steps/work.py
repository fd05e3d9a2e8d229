"""A worker: claims rows, streams each into a part, marks it finished, and reports at the end what failed.

A failed row does not stop the worker, so one bad relation does not affect others. Every write to the ledger names the
attempt; once another attempt has taken over, this one stops and changes nothing.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from project_export.archive.oversize import Oversize
from project_export.archive.part import PartFacts, PartWriter
from project_export.errors import (
    AttemptRevoked,
    OutOfMemory,
    Permanent,
    ProjectExportError,
    Retryable,
    Unforeseen,
    UnitFailed,
    UnitUnfinished,
    foreseen,
    listed,
)
from project_export.ledger import Beat, Claim, Job
from project_export.producers import Producer
from project_export.source import Chunk, look_rarely
from project_export.steps.active import resume
from project_export.steps.context import Context
from project_export.steps.owner import Owner
from project_export.steps.patience import Stop, patiently
from project_export.steps.sessions import UnitSource
from project_export.steps.watch import KILLED, fail_fast, release

log = logging.getLogger(__name__)

T = TypeVar("T")

DIED = "its process died (killed? out of memory?)"
_MOST_NAMES = 3
_CLAIM_SECONDS = 0.5
_MOST_DELAY_SECONDS = 60.0
_TICK_SECONDS = 0.2


@dataclass(frozen=True)
class Worked:
    """What a worker did: the parts it finished, their records and raw bytes, and the names of their relations."""

    parts: int = 0
    records: int = 0
    raw_bytes: int = 0
    relations: tuple[str, ...] = ()

    def plus(self, facts: PartFacts, relation: str) -> Worked:
        """Return the sum of this and one more part."""
        relations = self.relations if relation in self.relations else (*self.relations, relation)
        return Worked(self.parts + 1, self.records + facts.records, self.raw_bytes + facts.raw_bytes, relations)

    def __str__(self) -> str:
        """Return the text for a list of workers.

        >>> print(Worked(4, 1234, 56789, ("issues", "labels", "boards", "milestones")))
        issues, labels, boards +1: 1,234 records
        """
        more = len(self.relations) - _MOST_NAMES
        names = ", ".join(self.relations[:_MOST_NAMES]) + (f" +{more}" if more > 0 else "")
        return f"{names}: {self.records:,} records" if names else "nothing left to do"


@dataclass
class _Attempt:
    """The worker's current attempt: its claim, what was read and written so far, and whether it was revoked."""

    claim: Claim
    writer: PartWriter
    read: int = 0
    read_bytes: int = 0
    revoked: threading.Event = field(default_factory=threading.Event)

    def learn(self, chunk: Chunk) -> None:
        """Note what was read so far."""
        self.read = max(self.read, chunk.read)
        self.read_bytes = max(self.read_bytes, chunk.read_bytes)

    @property
    def beat(self) -> Beat:
        """Its progress: records that were read may still wait for their turn."""
        records, size = max(self.writer.records, self.read), max(self.writer.raw_bytes, self.read_bytes)
        return Beat(self.claim.row_id, self.claim.attempt, records, size)


class Worker:
    """One try of one unit of a job.

    alone: no other worker works on the job. lends: this worker may lend a snapshot of its own when nobody holds the
    shared one; a worker that is alone always may.
    """

    def __init__(self, ctx: Context, job_id: int, owner: Owner, *, alone: bool, lends: bool = False) -> None:
        self._ctx = ctx
        self._job_id = job_id
        self._owner = owner
        self._alone = alone
        self._lends = alone or lends
        self._stop = Stop()
        self._source: UnitSource | None = None
        self._current: _Attempt | None = None
        self._producer: Producer | None = None
        self._unheard = False
        self.worked = Worked()
        """What the worker has done so far, even if `run` raised an exception."""

    def run(self) -> Worked:
        """Work until no row can be claimed.

        Raises UnitFailed (permanent) if all failed relations failed for good, UnitUnfinished (retryable) if a retry may
        finish some of them, AttemptRevoked if the worker was cancelled or its snapshot was replaced.
        """
        look_rarely()
        job = self.patiently(lambda: self._ctx.ledger.queries.job(self._job_id))
        if job.state == "failed":
            resume(self._ctx, job)
        self._release_dead()
        if not self._ctx.ledger.queries.progress(job.id).queued:
            log.info("nothing left to export")
            return self.worked
        errors: dict[int, str] = {}
        name = f"job {job.id} worker {self._owner.unit}"
        source = self._source = UnitSource(self._ctx, job, name, lends=self._lends)
        try:
            with self._beating():
                while claim := self._next(source):
                    try:
                        self.worked = self.worked.plus(self._export(job, claim, source), claim.relation)
                        errors.pop(claim.row_id, None)
                    except AttemptRevoked as error:
                        log.warning("%s", error)
                    except ProjectExportError as error:
                        errors[claim.row_id] = f"{_named(claim)}: {error}"
        finally:
            source.close()
        if self._stop.said:
            raise AttemptRevoked(f"worker {self._owner.unit} of job {job.id} was cancelled")
        if errors:
            failed = {row.id for row in self._ctx.ledger.queries.rows(job.id) if row.state == "failed"}
            if errors.keys() <= failed:
                raise UnitFailed(listed(f"{len(errors)} relation(s) of this worker failed for good", errors.values()))
            raise UnitUnfinished(listed(f"{len(errors)} relation(s) of this worker failed for now", errors.values()))
        return self.worked

    def cancel(self) -> None:
        """Stop: cancel the running query within a moment, and requeue its row.

        Safe to call from a signal handler, again and again: another thread interrupts what is running.
        """
        self._stop.said = True

    def _next(self, source: UnitSource) -> Claim | None:
        """Claim a row, or return None when there is nothing left to claim.

        A worker that is alone also waits for rows whose next attempt is delayed: its snapshot ends with it, and another
        try would have to read every row again. A worker that lends its snapshot also waits for the borrowers' rows.
        """
        ledger = self._ctx.ledger
        while not self._stop.said:
            if not source.ready():
                return None
            claim = self.patiently(self._claim)
            if claim or not (self._alone or source.lending):
                return claim
            progress = self.patiently(lambda: ledger.queries.progress(self._job_id))
            if progress.state != "started" or not (progress.queued if self._alone else progress.pending):
                return None
            self._stop.wait(_CLAIM_SECONDS)
        return None

    def _claim(self) -> Claim | None:
        """Claim a row; first requeue what an earlier claim took, if the ledger's answer to that claim was lost."""
        ledger, owner = self._ctx.ledger, str(self._owner.here())
        if self._unheard:
            lost = {row.id: row.attempt for row in ledger.queries.rows(self._job_id, "started") if row.owner == owner}
            ledger.claims.requeue(lost, "the ledger's answer to the claim was lost")
        self._unheard = True
        claim = ledger.claims.claim(self._job_id, self._owner.unit, owner)
        self._unheard = False
        return claim

    def patiently(self, ask: Callable[[], T]) -> T:
        """Keep asking the ledger for as long as the waiter tolerates a silent worker; see `patience`."""
        return patiently(ask, self._ctx.settings.hung_seconds, self._stop)

    def _export(self, job: Job, claim: Claim, source: UnitSource) -> PartFacts:
        """Export one row and finish it; after an error, fail it for good or requeue it for another attempt."""
        what = _named(claim)
        log.info("%s: attempt %d", what, claim.attempt)
        try:
            producer = source.producer(claim)
            self._producer = producer
            facts, uri, remarks = self._write(job, claim, producer, source, what)
            source.confirm(claim)
        except AttemptRevoked:
            raise
        except Exception as error:
            if self._gone:
                raise self._revocation(claim, what) from error
            known = foreseen(error)
            self._fail_attempt(claim, known, what)
            if known is error:
                raise
            raise known from error
        except BaseException as error:
            self._ctx.ledger.claims.requeue({claim.row_id: claim.attempt}, f"interrupted by {type(error).__name__}")
            raise
        finally:
            self._current = self._producer = None
        try:
            kept = [*producer.remarks, *remarks]
            omissions = producer.omissions
            files = producer.files
            self.patiently(lambda: self._ctx.ledger.claims.finish(claim, facts, uri, kept, omissions, files))
        except AttemptRevoked:
            self._ctx.store.discard(uri)
            raise
        for text in (*omissions, *remarks):
            log.warning("%s: %s", what, text)
        log.info("%s: %d records, %d bytes", what, facts.records, facts.raw_bytes)
        return facts

    def _write(
        self, job: Job, claim: Claim, producer: Producer, source: UnitSource, what: str
    ) -> tuple[PartFacts, str, tuple[str, ...]]:
        """Write a row's part; return its facts, its URI, and remarks on its records."""
        assert source.session is not None
        key = self._ctx.key(job)
        uri = self._ctx.store.part(key, claim.relation, claim.part, claim.attempt)
        with _memory_named(what), self._ctx.store.writing(key, uri) as out, source.session.attempt(what):
            writer = PartWriter(out, self._ctx.settings.compress_level)
            oversize = Oversize(self._ctx.tree.format.limits) if source.kind(claim).needs.line_limit else None
            self._current = current = _Attempt(claim, writer)
            with closing(producer.chunks()) as chunks:
                for chunk in chunks:
                    writer.write(chunk.data, chunk.records, packed=chunk.packed)
                    current.learn(chunk)
                    if oversize is not None:
                        oversize.add(chunk.data, chunk.records)
                    if self._gone:
                        raise self._revocation(claim, what)
            return writer.finish(), uri, () if oversize is None else oversize.remarks

    def _fail_attempt(self, claim: Claim, error: ProjectExportError, what: str) -> None:
        """Record why an attempt failed.

        The last of `max_attempts` is final. Clearing the run allows the same number of attempts again.
        """
        final = isinstance(error, Permanent) or claim.failed_attempts + 1 >= self._ctx.settings.max_attempts
        delay = random.uniform(0.5, 1.0) * min(_MOST_DELAY_SECONDS, 2.0 ** min(claim.attempt, 10))
        text = "%s: attempt %d failed%s: %s"
        unforeseen = error.__cause__ if isinstance(error, Unforeseen) else None
        log.error(text, what, claim.attempt, " for good" if final else "", error, exc_info=unforeseen)
        self.patiently(
            lambda: self._ctx.ledger.claims.fail_attempt(
                claim, str(error), error.sqlstate, final=final, delay_seconds=delay, code=error.code
            )
        )
        if final:
            fail_fast(self._ctx, self._ctx.ledger.queries.job(self._job_id))

    @property
    def _gone(self) -> bool:
        current = self._current
        return self._stop.said or (current is not None and current.revoked.is_set())

    def _revocation(self, claim: Claim, what: str) -> AttemptRevoked:
        if self._stop.said:
            message = f"worker {self._owner.unit} was cancelled"
            self._ctx.ledger.claims.requeue({claim.row_id: claim.attempt}, message)
            return AttemptRevoked(f"{what}: {message}")
        return AttemptRevoked(f"{what}: attempt {claim.attempt} was revoked")

    def _release_dead(self) -> None:
        """Requeue the rows of an earlier try of this unit that died; a row whose process dies twice fails."""
        started = self._ctx.ledger.queries.rows(self._job_id, "started")
        held = [(row, Owner.parse(row.owner)) for row in started]
        dead = [row for row, owner in held if owner is not None and owner.earlier_try_of(self._owner)]
        release(self._ctx, dead, DIED, KILLED)

    @contextmanager
    def _beating(self) -> Iterator[None]:
        done = threading.Event()
        threads = [
            threading.Thread(target=target, args=(done,), name=name, daemon=True)
            for target, name in ((self._beat, "heartbeat"), (self._watch, "interruption"))
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            done.set()
            for thread in threads:
                thread.join()

    def _beat(self, done: threading.Event) -> None:
        while not done.wait(self._ctx.settings.heartbeat_seconds):
            self._send_heartbeat()

    def _watch(self, done: threading.Event) -> None:
        """Interrupt an attempt that must end, also while a heartbeat waits for the ledger.

        It is interrupted repeatedly, because a cancel between two statements has no effect.
        """
        while not done.wait(_TICK_SECONDS):
            if self._gone:
                self._interrupt()

    def _send_heartbeat(self) -> None:
        current = self._current
        if current is None or self._gone:
            return
        try:
            lost = self._ctx.ledger.claims.beat([current.beat])
        except Retryable as error:
            log.warning("the heartbeat could not be written: %s", error)
            return
        if lost:
            current.revoked.set()

    def _interrupt(self) -> None:
        producer = self._producer
        if producer is not None:
            producer.cancel()
        session = self._source.session if self._source is not None else None
        if session is None:
            return
        try:
            session.cancel()
        except ProjectExportError as error:
            log.warning("the running query could not be cancelled: %s", error)


@contextmanager
def _memory_named(what: str) -> Iterator[None]:
    """Convert a MemoryError to an OutOfMemory that names the relation, so that only this attempt fails."""
    try:
        yield
    except MemoryError as error:
        raise OutOfMemory(f"{what}: ran out of memory; raise its limit, then retry.") from error


def _named(claim: Claim) -> str:
    return claim.relation if claim.parts == 1 else f"{claim.relation} {claim.part + 1}/{claim.parts}"
