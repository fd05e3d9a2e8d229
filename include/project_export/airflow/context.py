"""From inside a task: Airflow's connections and run → the steps' context and names."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import Any

from airflow.providers.postgres.hooks.postgres import PostgresHook
from airflow.sdk import Variable
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowFailException, AirflowNotFoundException

from project_export.airflow.notify import channels
from project_export.errors import Permanent, SettingMissing, SettingRefused
from project_export.ledger import Ledger, engine_over
from project_export.libpq import PATIENCE
from project_export.settings import Layer, Settings
from project_export.source import Connect
from project_export.steps import Context

log = logging.getLogger(__name__)

EXTRA = "project_export"
"""Key in the extra of the source's connection under which settings may be: an object of names and values."""
_PREFIX = "project_export_"


def make_context(
    settings: Settings, source: PostgresHook | SettingMissing, ledger: PostgresHook | SettingMissing
) -> Context:
    """Return the steps' context over two hooks whose connections are known already (threads cannot ask for them)."""
    kept = Ledger(engine_over(_connect(ledger)), listen=settings.ledger_listen)
    return Context(settings, kept, settings.source_conn_id, _connect(source))


def task_settings() -> Settings:
    """Return the settings inside a task: the environment's, the source connection's, the Variables', the defaults.

    There are no more units than this Airflow maps a task over: it would fail what plans them. Raises SettingRefused.
    """
    return _settled()[0]


def task_context() -> Context:
    """Return the steps' context inside a task. Raises SettingRefused.

    A connection that is not there raises SettingMissing when it is first used, so that create lists it with the rest.
    """
    settings, source = _settled()
    ctx = make_context(settings, source, _asked(settings.ledger_conn_id))
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


def _settled() -> tuple[Settings, PostgresHook | SettingMissing]:
    """Return the settings and the source's hook, whose connection may have some of them."""
    variables = Layer(f"the Variable {_PREFIX}{{}}", _variables())
    conn_id = Settings.over(variables).source_conn_id
    source = _asked(conn_id)
    extra = source.connection.extra_dejson.get(EXTRA, {}) if isinstance(source, PostgresHook) else {}
    if not isinstance(extra, dict):
        raise SettingRefused(f"the extra of the connection {conn_id!r} has {EXTRA!r} that is not an object of settings")
    its = Layer(f"{{}} in {EXTRA!r} of the extra of the connection {conn_id!r}", extra, ("source_conn_id",))
    settings = Settings.over(its, variables)
    most = conf.getint("core", "max_map_length", fallback=1024)
    if settings.units > most:
        text = "PROJECT_EXPORT_UNITS is %d, but [core] max_map_length is %d: an export has so many units at the most"
        log.warning(text, settings.units, most)
    return settings.model_copy(update={"units": min(settings.units, most)}), source


def _variables() -> dict[str, str]:
    """Return the Variables of Airflow's database that name settings: one call, and one more for each that is there."""
    return {key.removeprefix(_PREFIX): Variable.get(key) for key in Variable.keys(prefix=_PREFIX)}


def _asked(conn_id: str) -> PostgresHook | SettingMissing:
    """Return a hook that knows its connection, or the error that there is none."""
    hook = PostgresHook(postgres_conn_id=conn_id)
    try:
        hook.connection  # noqa: B018 - asks once, here in the task's main thread
    except AirflowNotFoundException as error:
        missing = SettingMissing(
            f"Airflow has no connection {conn_id!r}. Add it, or name another in "
            "PROJECT_EXPORT_SOURCE_CONN_ID/_LEDGER_CONN_ID."
        )
        missing.__cause__ = error
        return missing
    return hook


def _connect(hook: PostgresHook | SettingMissing) -> Connect:
    if isinstance(hook, SettingMissing):
        return partial(_refuse, hook)
    connection = deepcopy(hook.connection)
    extra = {name: value for name, value in connection.extra_dejson.items() if name != EXTRA}
    connection.extra = json.dumps({**PATIENCE, **extra})
    patient = PostgresHook(connection=connection)

    def connect() -> Any:
        return patient.get_conn()

    return connect


def _refuse(error: SettingMissing) -> Any:
    raise error
