"""From inside a task: Airflow's connections and run → the steps' context and names."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from typing import Any

from airflow.providers.postgres.hooks.postgres import PostgresHook
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowFailException

from project_export.airflow.notify import channels
from project_export.errors import Permanent, SettingMissing
from project_export.ledger import Ledger, engine_over
from project_export.libpq import PATIENCE
from project_export.settings import Settings
from project_export.source import Connect
from project_export.steps import Context

log = logging.getLogger(__name__)


def make_context(settings: Settings, source: PostgresHook, ledger: PostgresHook) -> Context:
    """Return the steps' context over two hooks whose connections are known already (threads cannot ask for them)."""
    kept = Ledger(engine_over(_connect(ledger)), listen=settings.ledger_listen)
    return Context(settings, kept, settings.source_conn_id, _connect(source))


def task_settings() -> Settings:
    """Return the settings, with no more units than this Airflow maps a task over: it would fail what plans them."""
    settings = Settings()
    most = conf.getint("core", "max_map_length", fallback=1024)
    if settings.units > most:
        text = "PROJECT_EXPORT_UNITS is %d, but [core] max_map_length is %d: an export has so many units at the most"
        log.warning(text, settings.units, most)
    return settings.model_copy(update={"units": min(settings.units, most)})


def task_context() -> Context:
    """Return the steps' context inside a task. Raises SettingMissing when a connection is not there."""
    settings = task_settings()
    ctx = make_context(settings, _hook(settings.source_conn_id), _hook(settings.ledger_conn_id))
    return replace(ctx, channels=channels(settings))


def run_name(context: Any) -> str:
    """Return the name under which the ledger knows an Airflow run: DAG and run id."""
    return f"{context['dag_run'].dag_id}/{context['dag_run'].run_id}"


@contextmanager
def for_good() -> Iterator[None]:
    """Tell Airflow not to retry what no retry can help."""
    try:
        yield
    except Permanent as error:
        raise AirflowFailException(str(error)) from error


def _hook(conn_id: str) -> PostgresHook:
    from airflow.sdk.exceptions import AirflowNotFoundException

    hook = PostgresHook(postgres_conn_id=conn_id)
    try:
        hook.connection  # noqa: B018 - asks once, here in the task's main thread
    except AirflowNotFoundException as error:
        message = f"Airflow has no connection {conn_id!r}"
        raise SettingMissing(
            f"{message}. Add it, or name another in PROJECT_EXPORT_SOURCE_CONN_ID/_LEDGER_CONN_ID."
        ) from error
    return hook


def _connect(hook: PostgresHook) -> Connect:
    connection = deepcopy(hook.connection)
    connection.extra = json.dumps({**PATIENCE, **connection.extra_dejson})
    patient = PostgresHook(connection=connection)

    def connect() -> Any:
        return patient.get_conn()

    return connect
