"""The holder of a job's snapshot, in the triggerer: one open transaction while relations need it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook
from airflow.triggers.base import BaseTrigger, TaskSuccessEvent, TriggerEvent

if TYPE_CHECKING:
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    from project_export.steps import Context, Holder

_TOUCH_SECONDS = 2.0


class SnapshotTrigger(BaseTrigger):
    """Holds a snapshot for a job and ends when nothing needs it. Knows connection ids and the job's id, no secret.

    settings: those of the task, without what the triggerer's own environment has to allow.
    A triggerer that restarts runs it again: that is a new generation of the job, and all relations are read anew.
    """

    def __init__(
        self, job_id: int, source_conn_id: str, ledger_conn_id: str, settings: dict[str, Any] | None = None
    ) -> None:
        super().__init__()
        self.job_id = job_id
        self.source_conn_id = source_conn_id
        self.ledger_conn_id = ledger_conn_id
        self.settings = settings or {}

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what the triggerer needs to make this trigger."""
        arguments = {
            "job_id": self.job_id,
            "source_conn_id": self.source_conn_id,
            "ledger_conn_id": self.ledger_conn_id,
            "settings": self.settings,
        }
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Hold the snapshot, then end the task without another start of it.

        However the holding ends, the task succeeds: the run's last task judges the job.
        """
        from project_export.errors import LedgerBusy, ProjectExportError, SourceBusy

        while True:
            try:
                await self._hold()
            except (SourceBusy, LedgerBusy) as error:
                self.log.warning("no snapshot is held, a new one is taken: %s", error)
                await asyncio.sleep(_TOUCH_SECONDS)
            except ProjectExportError as error:
                self.log.error("the snapshot is given up: %s", error)
                break
            except Exception:
                self.log.exception("the snapshot is given up; a unit holds another one")
                break
            else:
                self.log.info("the snapshot is not needed any more")
                break
        yield TaskSuccessEvent()

    async def _hold(self) -> None:
        """Hold one snapshot to the end. What blocks, the imports too, is in a thread: the triggerer has other tasks."""
        hooks = await asyncio.to_thread(_hooks)
        source = hooks(connection=await BaseHook.aget_connection(self.source_conn_id))
        ledger = hooks(connection=await BaseHook.aget_connection(self.ledger_conn_id))
        ctx, holder = await asyncio.to_thread(_holder, source, ledger, self.job_id, self.settings)
        try:
            while await asyncio.to_thread(holder.needed):
                await asyncio.sleep(_TOUCH_SECONDS)
        finally:
            holder.close()
            ctx.ledger.close()


def _hooks() -> type[PostgresHook]:
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    return PostgresHook


def _holder(
    source: PostgresHook, ledger: PostgresHook, job_id: int, settings: dict[str, Any]
) -> tuple[Context, Holder]:
    """Return a context on two connections, and a holder, or leave nothing of them."""
    from project_export.airflow.context import make_context
    from project_export.settings import Settings
    from project_export.steps import Holder

    ctx = make_context(Settings(**settings), source, ledger)
    try:
        return ctx, Holder(ctx, job_id)
    except BaseException:
        ctx.ledger.close()
        raise
