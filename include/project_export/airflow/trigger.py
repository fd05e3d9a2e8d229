"""The holder of a job's snapshot, in the triggerer: one open transaction while relations are pending."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

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
        """Hold the snapshot; the event's `error` says why it was lost, None when it was needed no more."""
        from project_export.errors import ProjectExportError, SourceBusy

        while True:
            try:
                await self._hold()
            except SourceBusy as error:
                self.log.warning("the snapshot is lost and a new one is taken: %s", error)
                await asyncio.sleep(_TOUCH_SECONDS)
            except ProjectExportError as error:
                yield TriggerEvent({"error": str(error)})
                return
            else:
                yield TriggerEvent({"error": None})
                return

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
        holder = await asyncio.to_thread(Holder, ctx, self.job_id)
        try:
            while await asyncio.to_thread(holder.needed):
                await asyncio.sleep(_TOUCH_SECONDS)
        finally:
            holder.close()
