"""Processes have the time wrong by a day: faketime, laid under the interpreter, lies to them."""

from __future__ import annotations

import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import victims
from tests.chaos.conftest import Happened
from tests.chaos.environment import Environment
from tests.runs import attempts, locked, started, wait_until

RUN = "dag/run"
HUNG_SECONDS = 3
LIBRARIES = ("/usr/lib/*/faketime/libfaketime.so.1", "/usr/lib*/faketime/libfaketime.so.1")


@pytest.fixture(scope="session")
def faketime() -> str:
    """The library that lies about the time."""
    for pattern in LIBRARIES:
        for library in sorted(Path("/").glob(pattern.lstrip("/"))):
            return str(library)
    pytest.skip("faketime is not installed")


@pytest.mark.fault("F23", "clocks of unit, waiter and merge wrong by a day")
@pytest.mark.parametrize(("of_unit", "of_others"), [("-1d", "+1d"), ("+1d", "-1d")])
def test_nobody_whose_clock_is_wrong_takes_a_unit_for_stale(
    environment: Environment,
    faketime: str,
    monkeypatch: pytest.MonkeyPatch,
    happened: Happened,
    of_unit: str,
    of_others: str,
) -> None:
    def started_at(skew: str, target: Callable[..., None], *arguments: Any) -> BaseProcess:
        with monkeypatch.context() as patched:
            patched.setenv("LD_PRELOAD", faketime)
            patched.setenv("FAKETIME", skew)
            # How long something takes is the same by a wrong clock.
            patched.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            return environment.process(victims.at_another_time, created, RUN, time.time(), target, *arguments)

    with environment.surviving():
        ctx = environment.context(units=1)
        created = started(ctx)
        with locked(environment.source, "lists"):
            unit = started_at(of_unit, victims.work_unit)
            wait_until(lambda: "boards" in {row.relation for row in ctx.ledger.queries.rows(created.job_id, "started")})
            waiter = started_at(of_others, victims.wait_for_units, {"hung_seconds": HUNG_SECONDS})
            time.sleep(HUNG_SECONDS + 2)
            assert (unit.is_alive(), waiter.is_alive()) == (True, True)
        unit.join(60)
        waiter.join(60)
        merger = started_at(of_others, victims.merge_job)
        merger.join(60)
        assert (unit.exitcode, waiter.exitcode, merger.exitcode) == (0, 0, 0)
        assert set(attempts(ctx, created).values()) == {1}
        assert environment.offered(1).id == created.job_id
    happened(f"unit {of_unit}, the others {of_others}: judged by the ledger's clock, one attempt each, SAME")
