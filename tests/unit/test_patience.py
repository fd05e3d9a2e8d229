"""What waits for the ledger, and for how long; and what a connection asks of libpq."""

from __future__ import annotations

import subprocess
import sys

import pytest

from project_export import libpq
from project_export.errors import LedgerBusy
from project_export.steps import patience
from project_export.steps.patience import Stop, patiently


class Ledger:
    """Does not answer so many times."""

    def __init__(self, silent: int) -> None:
        self.silent, self.asked = silent, 0

    def write(self) -> str:
        self.asked += 1
        if self.asked <= self.silent:
            raise LedgerBusy(f"no answer {self.asked}")
        return "written"


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_FIRST_SECONDS", 0.001)


def test_what_is_not_answered_is_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    ledger = Ledger(3)
    assert patiently(ledger.write, 60, Stop()) == "written"
    assert [record.message for record in caplog.records] == [
        f"trying again: no answer {number}" for number in (1, 2, 3)
    ]


def test_after_its_time_the_last_error_is_raised() -> None:
    ledger = Ledger(1000)
    with pytest.raises(LedgerBusy, match=r"no answer [1-9]"):
        patiently(ledger.write, 0.01, Stop())
    assert 1 <= ledger.asked < 1000


def test_whoever_is_stopped_waits_no_longer() -> None:
    ledger, stop = Ledger(1000), Stop()
    stop.said = True
    with pytest.raises(LedgerBusy, match="no answer 1"):
        patiently(ledger.write, 60, stop)


def test_what_a_dsn_says_comes_before_the_patience() -> None:
    said = libpq.parameters("postgresql://jane@db/gitlab?connect_timeout=3")
    assert (said["host"], said["user"], said["dbname"]) == ("db", "jane", "gitlab")
    assert (said["connect_timeout"], said["keepalives_idle"]) == ("3", 30)


STOPPING = """
import signal, time
from project_export.steps import Owner, Worker

worker = Worker(None, 1, Owner("run", 0, 1), alone=True)
signal.signal(signal.SIGALRM, lambda *_: worker.cancel())
signal.setitimer(signal.ITIMER_REAL, 0.0001, 0.0001)
end = time.monotonic() + 1
while time.monotonic() < end:
    worker.cancel()
signal.setitimer(signal.ITIMER_REAL, 0)
print("stopped")
"""


def test_a_worker_may_be_cancelled_by_a_signal_while_it_is_being_cancelled() -> None:
    ran = subprocess.run([sys.executable, "-c", STOPPING], capture_output=True, text=True, timeout=30, check=True)
    assert ran.stdout == "stopped\n"
