"""Requests to a server that may never answer: each has a time limit, and all can be given up at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")


class Requests:
    """Requests that each take at most `limit_seconds`.

    A request that is given up ends in the background, and does not keep the process from ending.
    """

    def __init__(self, limit_seconds: float) -> None:
        self._limit_seconds = limit_seconds
        # Unlike a condition or an event, such a queue can be used by a signal handler while its thread waits for it.
        self._waiting: set[SimpleQueue[Callable[[], Any]]] = set()

    def run(self, request: Callable[[], T]) -> T:
        """Return what a request returns, and raise what it raises.

        Raises TimeoutError after the time limit, InterruptedError if it is given up. Can be called from several
        threads.
        """
        outcomes: SimpleQueue[Callable[[], T]] = SimpleQueue()
        self._waiting.add(outcomes)
        try:
            threading.Thread(target=lambda: outcomes.put(_outcome(request)), name="request", daemon=True).start()
            outcome = outcomes.get(timeout=self._limit_seconds)
        except Empty:
            raise TimeoutError(f"there was no answer within {self._limit_seconds:g} s") from None
        finally:
            self._waiting.discard(outcomes)
        return outcome()

    def cancel(self) -> None:
        """Give up all running requests. Can be called from another thread, or from a signal handler."""
        for outcomes in tuple(self._waiting):
            outcomes.put(_given_up)


def _outcome(request: Callable[[], T]) -> Callable[[], T]:
    try:
        found = request()
    except BaseException as error:  # noqa: BLE001 - the thread that waits raises it
        raised = error
    else:
        return lambda: found

    def fail() -> NoReturn:
        raise raised

    return fail


def _given_up() -> NoReturn:
    raise InterruptedError("the request was given up")
