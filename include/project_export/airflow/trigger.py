"""The holder of a job's snapshot, in the triggerer: one open transaction while relations are pending."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TaskSuccessEvent, TriggerEvent

_TOUCH_SECONDS = 2.0


class SnapshotTrigger(BaseTrigger):
    """Holds a snapshot for a job and ends when nothing needs it. Knows connection ids and the job's id, no secret.

    A triggerer that restarts runs it again: that is a new generation of the job, and all relations are read anew.
    """

    def __init__(self, job_id: int, source_conn_id: str, ledger_conn_id: str) -> None:
        super().__init__()
        self.job_id = job_id
        self.source_conn_id = source_conn_id
        self.ledger_conn_id = ledger_conn_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what the triggerer needs to make this trigger."""
        arguments = {
            "job_id": self.job_id,
            "source_conn_id": self.source_conn_id,
            "ledger_conn_id": self.ledger_conn_id,
        }
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Hold the snapshot, then end the task without another start of it.

        However the holding ends, the task succeeds: the merge judges the job, and a leaf of the DAG that failed would
        make a run red whose archive is published.
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
            else:
                self.log.info("no relation needs the snapshot any more")
                break
        yield TaskSuccessEvent()

    async def _hold(self) -> None:
        """Hold one snapshot to the end. The blocking calls are short, each in a thread."""
        from airflow.providers.postgres.hooks.postgres import PostgresHook
        from airflow.sdk import BaseHook

        from project_export.airflow.context import make_context
        from project_export.settings import Settings
        from project_export.steps import Holder

        source = PostgresHook(connection=await BaseHook.aget_connection(self.source_conn_id))
        ledger = PostgresHook(connection=await BaseHook.aget_connection(self.ledger_conn_id))
        ctx = make_context(Settings(), source, ledger)
        try:
            holder = await asyncio.to_thread(Holder, ctx, self.job_id)
            try:
                while await asyncio.to_thread(holder.needed):
                    await asyncio.sleep(_TOUCH_SECONDS)
            finally:
                holder.close()
        finally:
            ctx.ledger.close()
