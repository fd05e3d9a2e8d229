"""What a task makes of Airflow's connections, Variables and run: the settings, the context and the names of `steps`."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from functools import cache, partial
from typing import Any

from airflow.providers.postgres.hooks.postgres import PostgresHook
from airflow.sdk import Variable
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowFailException, AirflowNotFoundException

from project_export.airflow.credentials import ConnectionCredentials
from project_export.airflow.links import page_url
from project_export.airflow.metrics import AirflowMetrics
from project_export.airflow.notify import channels
from project_export.errors import Permanent, SettingMissing, SettingRefused
from project_export.ledger import Ledger, engine_over
from project_export.libpq import PATIENCE
from project_export.settings import SHARED, Layer, Settings
from project_export.source import Connect
from project_export.sources import Sources
from project_export.steps import Context
from project_export.steps.metrics import measuring

log = logging.getLogger(__name__)

EXTRA = "project_export"
"""Key in the extra of the source's connection that may hold settings: an object of names and values."""
VARIABLE_PREFIX = "project_export_"
"""What the keys of Variables that hold settings start with."""


def make_context(
    settings: Settings, source: PostgresHook | SettingMissing, ledger: PostgresHook | SettingMissing
) -> Context:
    """Return the steps' context on two hooks that already know their connections, since threads cannot look them up."""
    metrics = AirflowMetrics()
    kept = Ledger(engine_over(_connect(ledger)), listen=settings.ledger_listen, observe=measuring(metrics))
    return Context(settings, kept, settings.source_conn_id, _connect(source), metrics=metrics)


def task_settings(source: str | None = None) -> Settings:
    """Return a task's settings: from the environment, else the source's connection, else Variables, else the default.

    source: whose; the default one if None or empty. The number of workers is limited to what this Airflow can map a
    task over. Raises SettingRefused, BadRequest for an unknown source.
    """
    stored = _stored(_variables())
    sources = Sources.of(Settings.over(stored))
    return _settled(sources, sources.chosen(source), stored)[0]


def task_context(source: str | None = None) -> Context:
    """Return the steps' context inside a task. source: whose, as of `task_settings`. Raises what that raises."""
    return context_over(_variables(), source)


def context_over(variables: Mapping[str, str], source: str | None = None) -> Context:
    """Return the steps' context of this process. Raises SettingRefused, BadRequest for an unknown source.

    variables: the Variables that hold settings, by the name of the setting. A task gets them in another way than the
    API server. source: whose, the default one if None or empty; the contexts of the others are made when they are used.
    A missing connection raises SettingMissing only when it is first used, so that create can list it with everything
    else that is missing.
    """
    stored = _stored(variables)
    common = Settings.over(stored)
    sources = Sources.of(common)
    metrics = AirflowMetrics()
    engine = engine_over(_connect(_asked(common.ledger_conn_id)))
    kept = Ledger(engine, listen=common.ledger_listen, observe=measuring(metrics))

    @cache
    def made(name: str) -> Context:
        settings, hook = _settled(sources, name, stored)
        return Context(
            settings,
            kept,
            name,
            _connect(hook),
            channels=channels(settings),
            credentials=ConnectionCredentials(settings.git_conn_id),
            page=page_url(),
            metrics=metrics,
            others={other: partial(made, other) for other in sources.all if other != name},
        )

    return made(sources.chosen(source))


def run_name(context: Any) -> str:
    """Return the name of an Airflow run in the ledger: DAG id and run id."""
    return f"{context['dag_run'].dag_id}/{context['dag_run'].run_id}"


def of_tree(params: Mapping[str, Any], ctx: Context) -> dict[str, Any]:
    """Return the params of a run without those that only the trees of other sources declare, if nobody set them."""
    others = {name: one.default for other in ctx.others for name, one in ctx.of(other).tree.parameters.items()}
    foreign = others.keys() - ctx.tree.parameters.keys()
    return {name: value for name, value in params.items() if name not in foreign or value != others[name]}


@contextmanager
def for_good() -> Iterator[None]:
    """Fail the task without a retry when the block raises a permanent error."""
    try:
        yield
    except Permanent as error:
        raise AirflowFailException(str(error)) from error


def _stored(variables: Mapping[str, str]) -> Layer:
    return Layer(f"the Variable {VARIABLE_PREFIX}{{}}", variables)


def _settled(sources: Sources, source: str, stored: Layer) -> tuple[Settings, PostgresHook | SettingMissing]:
    """Return the settings and the hook of a source, whose connection may hold some of the settings."""
    hook = _asked(source)
    extra = hook.connection.extra_dejson.get(EXTRA, {}) if isinstance(hook, PostgresHook) else {}
    if not isinstance(extra, dict):
        raise SettingRefused(f"{EXTRA!r} in the extra of the connection {source!r} is not an object of settings")
    its = Layer(f"{{}} in {EXTRA!r} of the extra of the connection {source!r}", extra, tuple(SHARED))
    settings = sources.settings(source, its, stored)
    most = conf.getint("core", "max_map_length", fallback=1024)
    if settings.units > most:
        text = "PROJECT_EXPORT_UNITS is %d, but [core] max_map_length is %d, which limits the workers of an export"
        log.warning(text, settings.units, most)
    return settings.model_copy(update={"units": min(settings.units, most)}), hook


def _variables() -> dict[str, str]:
    """Return the Variables in Airflow's database that name settings: one call, and one more for each of them."""
    return {key.removeprefix(VARIABLE_PREFIX): Variable.get(key) for key in Variable.keys(prefix=VARIABLE_PREFIX)}


def _asked(conn_id: str) -> PostgresHook | SettingMissing:
    """Return a hook that knows its connection, or the error that the connection is missing."""
    hook = PostgresHook(postgres_conn_id=conn_id)
    try:
        hook.connection  # noqa: B018 - looks the connection up now, in the task's main thread
    except AirflowNotFoundException as error:
        missing = SettingMissing(
            f"Airflow has no connection {conn_id!r}. Add it, or set PROJECT_EXPORT_SOURCE_CONN_ID or "
            "PROJECT_EXPORT_LEDGER_CONN_ID to another one."
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
