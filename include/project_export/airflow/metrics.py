"""Metrics through Airflow's own: to StatsD, Datadog or OpenTelemetry, whatever its `[metrics]` section says."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import cache
from types import ModuleType
from typing import Any

log = logging.getLogger(__name__)

_SAID: set[str] = set()
"""The kinds of errors that were logged as a warning."""


class AirflowMetrics:
    """Sends metrics as Airflow sends its own. Each kind of error is logged once per process, and fails no export."""

    def count(self, name: str, by: int, tags: Mapping[str, str]) -> None:
        """Add to a counter."""
        _send(lambda stats: stats.incr(name, by, tags=dict(tags)))

    def time(self, name: str, seconds: float, tags: Mapping[str, str]) -> None:
        """Add a duration."""
        _send(lambda stats: stats.timing(name, timedelta(seconds=seconds), tags=dict(tags)))

    def gauge(self, name: str, value: float) -> None:
        """Set a gauge."""
        _send(lambda stats: stats.gauge(name, value))


def _send(send: Callable[[Any], None]) -> None:
    try:
        stats = _stats()
        if stats is not None:
            send(stats)
    except Exception as error:
        kind = type(error).__name__
        level = logging.DEBUG if kind in _SAID else logging.WARNING
        _SAID.add(kind)
        log.log(level, "a metric could not be sent (%s); this is a warning only once per process", kind, exc_info=True)


@cache
def _stats() -> ModuleType | None:
    """Return Airflow's module of metrics, None if it cannot be used.

    Only task processes initialise the copy that belongs to the task SDK; the API server and the triggerer initialise
    another. Initialising it again changes nothing but the socket.
    """
    try:
        from airflow.sdk.configuration import conf
        from airflow.sdk.observability import stats
        from airflow.sdk.observability.metrics import stats_utils

        legacy = conf.getboolean("metrics", "legacy_names_on", fallback=True)
        stats.initialize(factory=stats_utils.get_stats_factory(), export_legacy_names=legacy)
    except Exception:
        log.warning("no metrics are sent", exc_info=True)
        return None
    return stats
