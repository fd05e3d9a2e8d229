"""Requests have a time limit, and are given up at once, by other threads and by signal handlers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from project_export.store.requests import Requests


def later(seconds: float, do: Callable[[], None]) -> None:
    """Do something in another thread."""
    threading.Timer(seconds, do).start()


def test_a_request_returns_and_raises_what_its_function_does() -> None:
    requests = Requests(10)
    assert requests.run(lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        requests.run(lambda: 1 // 0)


def test_a_request_without_an_answer_ends_after_its_limit() -> None:
    never = threading.Event()
    with pytest.raises(TimeoutError, match="no answer within"):
        Requests(0.1).run(never.wait)
    never.set()


def test_running_requests_are_given_up_and_later_ones_are_not() -> None:
    requests, never = Requests(60), threading.Event()
    later(0.1, requests.cancel)
    with pytest.raises(InterruptedError):
        requests.run(never.wait)
    never.set()
    assert requests.run(lambda: 3) == 3


def test_a_signal_handler_gives_up_the_request_that_its_thread_waits_for() -> None:
    requests, never = Requests(60), threading.Event()
    before = signal.signal(signal.SIGUSR1, lambda *_: requests.cancel())
    try:
        later(0.1, lambda: os.kill(os.getpid(), signal.SIGUSR1))
        with pytest.raises(InterruptedError):
            requests.run(never.wait)
    finally:
        signal.signal(signal.SIGUSR1, before)
        never.set()


def test_a_request_that_was_given_up_does_not_keep_the_process_from_ending() -> None:
    program = (
        "import time\n"
        "from project_export.store.requests import Requests\n"
        "try:\n"
        "    Requests(0.1).run(lambda: time.sleep(60))\n"
        "except TimeoutError:\n"
        "    print('over')\n"
    )
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "over\n"
    assert time.monotonic() - start < 30
