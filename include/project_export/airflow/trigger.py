"""The holder of a job's snapshot, in the triggerer: one open transaction while relations need it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook
from airflow.triggers.base import BaseTrigger, TaskSuccessEvent, TriggerEvent

if TYPE_CHECKING:
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    from project_export.steps import Context, Holder

log = logging.getLogger(__name__)

TOUCH_SECONDS = 2.0


class SnapshotTrigger(BaseTrigger):
    """Holds a snapshot for a job and ends when nothing needs it. It knows connection ids and the job's id, no secret.

    settings: the task's settings, without those that only the triggerer's own environment may set.
    A triggerer that restarts runs the trigger again. This starts a new generation of the job, and all relations that
    need a snapshot are read again.
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
        """Hold the snapshot, then end the task without starting it again.

        The task succeeds however the holding ends: the last task of the run judges the job.
        """
        await keep_holding(partial(hold, self.job_id, self.source_conn_id, self.ledger_conn_id, self.settings))
        yield TaskSuccessEvent()


async def keep_holding(hold_one: Callable[[], Awaitable[None]], pause_seconds: float = TOUCH_SECONDS) -> None:
    """Hold one snapshot after another until one is not needed any more or cannot be held. Raises no Exception.

    hold_one: holds one snapshot to its end. pause_seconds: the pause before the next snapshot.
    """
    from project_export.errors import LedgerBusy, ProjectExportError, SourceBusy

    while True:
        try:
            await hold_one()
        except (SourceBusy, LedgerBusy) as error:
            log.warning("the snapshot was lost, taking a new one: %s", error)
            await asyncio.sleep(pause_seconds)
        except ProjectExportError as error:
            log.error("the snapshot is released: %s", error)
            return
        except Exception:
            log.exception("the snapshot is released; a worker will hold another one")
            return
        else:
            log.info("the snapshot is no longer needed")
            return


async def hold(job_id: int, source_conn_id: str, ledger_conn_id: str, settings: dict[str, Any]) -> None:
    """Hold one snapshot of a job until nothing needs it.

    Everything that blocks, imports included, runs in a thread, because the triggerer has other tasks. Raises what
    `Holder` raises, and AirflowNotFoundException.
    """
    hook = await asyncio.to_thread(_hook_class)
    source = hook(connection=await BaseHook.aget_connection(source_conn_id))
    ledger = hook(connection=await BaseHook.aget_connection(ledger_conn_id))
    its = {**settings, "source_conn_id": source_conn_id}
    ctx, holder = await asyncio.to_thread(_holder, source, ledger, job_id, its)
    try:
        while holder is not None and await asyncio.to_thread(holder.needed):
            await asyncio.sleep(TOUCH_SECONDS)
    finally:
        if holder is not None:
            holder.close()
        ctx.ledger.close()


def _hook_class() -> type[PostgresHook]:
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    return PostgresHook


def _holder(
    source: PostgresHook, ledger: PostgresHook, job_id: int, settings: dict[str, Any]
) -> tuple[Context, Holder | None]:
    """Return a context on two connections, and a holder, if one is needed. After an error nothing stays open."""
    from project_export.airflow.context import make_context
    from project_export.sources import handed_over
    from project_export.steps import Holder

    ctx = make_context(handed_over(settings), source, ledger)
    try:
        return ctx, Holder.of(ctx, job_id)
    except BaseException:
        ctx.ledger.close()
        raise
