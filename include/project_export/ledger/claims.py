"""Changes of relation_export rows: workers claim, beat and finish them; judges requeue, fail and cancel them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from typing import Any, cast

from sqlalchemy import ColumnElement, Table, Update, and_, case, exists, literal, select, tuple_, update
from sqlalchemy.orm import aliased

from project_export.errors import AttemptRevoked
from project_export.ledger.changes import described, note
from project_export.ledger.columns import clock
from project_export.ledger.database import Database, announce
from project_export.ledger.models import ProjectExportJob, RelationExport
from project_export.ledger.reading import rows_where
from project_export.ledger.records import Beat, Claim, WrittenPart
from project_export.ledger.scrub import scrub
from project_export.ledger.states import FAILED, FINISHED, PROJECT_EXPORT_JOB, RELATION_EXPORT

TABLE = cast("Table", RelationExport.__table__)

_CLEARED: Mapping[str, Any] = {
    "owner": None,
    "records": 0,
    "raw_bytes": 0,
    "stored_bytes": None,
    "crc32": None,
    "stored_crc32": None,
    "sha256": None,
    "uri": None,
    "remarks": [],
    "omissions": [],
    "files": [],
    "heartbeat_at": None,
    "available_at": None,
    "finished_at": None,
    "cancelled": False,
}


class Claims:
    """Claims on the rows of a job, and every other change of a row's state.

    A write that names an attempt changes nothing once the row has moved on to another one.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, job_id: int, unit: int, owner: str) -> Claim | None:
        """Claim one queued row and return the claim, or None when no row can be claimed now.

        Rows planned for `unit` come first, then all others; of these, rows that never killed a process, then the
        largest. Returns None as well while every queued row waits for its next attempt, and once the job has ended.
        owner: who works on the row, for people to read.
        """
        job = (
            select(ProjectExportJob.id, ProjectExportJob.snapshot_generation)
            .where(ProjectExportJob.id == job_id, PROJECT_EXPORT_JOB.ready("work", ProjectExportJob.state))
            .with_for_update(read=True)  # otherwise a row could start in a generation, or a job, that has just ended
            .cte("job")
        )
        pick = (
            select(RelationExport.id, job.c.snapshot_generation)
            .join(job, job.c.id == RelationExport.job_id)
            .where(
                RELATION_EXPORT.ready("claim", RelationExport.state),
                (RelationExport.available_at.is_(None)) | (RelationExport.available_at <= clock()),
            )
            .order_by(
                case((RelationExport.unit == unit, 0), else_=1),
                RelationExport.deaths,
                RelationExport.estimate.desc(),
                RelationExport.position,
                RelationExport.part,
            )
            .limit(1)
            .with_for_update(of=RelationExport, skip_locked=True)
            .cte("pick")
        )
        take = (
            RELATION_EXPORT.move(update(RelationExport).where(RelationExport.id == pick.c.id), "claim")
            .values(
                attempt=RelationExport.attempt + 1,
                generation=pick.c.snapshot_generation,
                started_at=clock(),
                **{**_CLEARED, "owner": owner, "heartbeat_at": clock()},
            )
            .returning(
                RelationExport.id.label("row_id"),
                RelationExport.generation,
                RelationExport.failed_attempts,
                RelationExport.snapshot,
                *described(TABLE),
            )
        )
        with self._database.write() as connection:
            taken = connection.execute(take).mappings().one_or_none()
            note(connection, "claim", [] if taken is None else [taken])
        return None if taken is None else Claim(**{one.name: taken[one.name] for one in fields(Claim)})

    def beat(self, beats: Sequence[Beat]) -> set[int]:
        """Record a heartbeat and the progress of each claim; return the ids of the rows whose claim is lost.

        A claim is lost when another attempt has the row, when the row was requeued or failed, or when its job ended.
        """
        if not beats:
            return set()
        works = (
            select(literal(1))
            .where(
                ProjectExportJob.id == RelationExport.job_id, PROJECT_EXPORT_JOB.ready("work", ProjectExportJob.state)
            )
            .exists()
        )
        statement = (
            update(RelationExport)
            .where(
                _at({beat.row_id: beat.attempt for beat in beats}),
                RELATION_EXPORT.ready("beat", RelationExport.state),
                works,
            )
            .values(
                heartbeat_at=clock(),
                records=case({beat.row_id: beat.records for beat in beats}, value=RelationExport.id),
                raw_bytes=case({beat.row_id: beat.raw_bytes for beat in beats}, value=RelationExport.id),
            )
            .returning(RelationExport.id)
        )
        with self._database.write() as connection:
            alive = set(connection.scalars(statement))
        return {beat.row_id for beat in beats} - alive

    def finish(
        self,
        claim: Claim,
        part: WrittenPart,
        uri: str,
        remarks: Sequence[str] = (),
        omissions: Sequence[str] = (),
        files: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Finish the claimed row: its part is written, at `uri`. remarks, omissions: see `Row`; files: see `files`.

        The call can be repeated when it is unknown whether the first one was kept. Raises AttemptRevoked, having
        changed nothing, when the claim is lost.
        """
        finished = RELATION_EXPORT.move(_fenced(claim), "finish").values(
            records=part.records,
            raw_bytes=part.raw_bytes,
            stored_bytes=part.stored_bytes,
            crc32=part.crc32,
            stored_crc32=part.stored_crc32,
            sha256=part.sha256,
            uri=uri,
            remarks=list(remarks),
            omissions=list(omissions),
            files=list(files),
            error=None,
            sqlstate=None,
            error_code=None,
            finished_at=clock(),
        )
        kept = and_(_at({claim.row_id: claim.attempt}), RelationExport.state == FINISHED, RelationExport.uri == uri)
        try:
            self._end("finish", finished, claim)
        except AttemptRevoked:
            with self._database.read() as connection:
                if not rows_where(connection, kept):
                    raise

    def fail_attempt(
        self,
        claim: Claim,
        message: str,
        sqlstate: str | None = None,
        *,
        final: bool,
        delay_seconds: float = 0,
        code: str | None = None,
    ) -> None:
        """End a failed attempt: fail the row (final), or queue it for its next attempt after the delay.

        code: see `Failure.code`. Raises AttemptRevoked, having changed nothing, when the claim is lost.
        """
        error = {
            "error": scrub(message),
            "sqlstate": sqlstate,
            "error_code": code or sqlstate,
            "failed_attempts": RelationExport.failed_attempts + 1,
        }
        if final:
            statement = RELATION_EXPORT.move(_fenced(claim), "give up").values(finished_at=clock(), **error)
        else:
            again = {**_CLEARED, **error, "queued_at": clock(), "available_at": clock(delay_seconds)}
            statement = RELATION_EXPORT.move(_fenced(claim), "retry").values(**again)
        self._end("give up" if final else "retry", statement, claim)

    def requeue(
        self, row_ids: Collection[int] | Mapping[int, int], reason: str, *, failed: bool = False, died: bool = False
    ) -> int:
        """Queue started, failed and finished rows again and return how many were queued.

        row_ids: ids, or ids with the attempt that the caller saw; rows that have moved on since then do not change.
        reason: kept as the row's error. failed: the attempt counts as failed. died: it counts as failed, and as the
        death of a process.
        """
        if not row_ids:
            return 0
        statement = requeued(reason).where(_at(row_ids))
        if failed or died:
            statement = statement.values(failed_attempts=RelationExport.failed_attempts + 1)
        if died:
            statement = statement.values(deaths=RelationExport.deaths + 1)
        with self._database.write() as connection:
            return announce(connection, "requeue", statement)

    def fail_rows(self, row_ids: Collection[int] | Mapping[int, int], message: str, code: str | None = None) -> int:
        """Fail queued and started rows for good and return how many failed.

        row_ids: as in `requeue`. code: see `Failure.code`.
        """
        return self._fail(_at(row_ids), message, code) if row_ids else 0

    def cancel_rows(self, job_id: int, reason: str) -> int:
        """Fail all queued and started rows of a job because another row has failed; return how many were cancelled.

        Changes nothing when no row is failed any more: the job was reopened in the meantime.
        """
        other = aliased(RelationExport)
        cause = exists().where(other.job_id == job_id, other.state == FAILED, ~other.cancelled)
        return self._fail(and_(RelationExport.job_id == job_id, cause), reason, "Cancelled", cancelled=True)

    def _fail(self, condition: ColumnElement[bool], message: str, code: str | None, *, cancelled: bool = False) -> int:
        statement = RELATION_EXPORT.move(update(RelationExport).where(condition), "fail").values(
            error=scrub(message), sqlstate=None, error_code=code, cancelled=cancelled, finished_at=clock()
        )
        with self._database.write() as connection:
            return announce(connection, "cancel" if cancelled else "fail", statement)

    def _end(self, event: str, statement: Update, claim: Claim) -> None:
        with self._database.write() as connection:
            if not announce(connection, event, statement):
                raise AttemptRevoked(
                    f"Attempt {claim.attempt} of {claim.relation} (part {claim.part + 1} of {claim.parts}, "
                    f"job {claim.job_id}) was revoked: it no longer counts and changes nothing."
                )


def requeued(reason: str) -> Update:
    """Return the UPDATE that queues rows again; the caller adds which ones."""
    return RELATION_EXPORT.move(update(RelationExport), "requeue").values(
        **{**_CLEARED, "error": scrub(reason), "sqlstate": None, "error_code": None, "queued_at": clock()}
    )


def _fenced(claim: Claim) -> Update:
    return update(RelationExport).where(_at({claim.row_id: claim.attempt}))


def _at(row_ids: Collection[int] | Mapping[int, int]) -> ColumnElement[bool]:
    if isinstance(row_ids, Mapping):
        return tuple_(RelationExport.id, RelationExport.attempt).in_(list(row_ids.items()))
    return RelationExport.id.in_(row_ids)
