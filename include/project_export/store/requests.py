"""Requests to a server that may never answer: each has a time limit, and all can be given up at once."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, BinaryIO, NoReturn, TypeVar, cast

_FAILED = "an earlier request for this file has failed"

T = TypeVar("T")


class Requests:
    """Requests that each take at most `limit_seconds`, unless they have a limit of their own.

    A request that is given up ends in the background, and does not keep the process from ending.
    """

    def __init__(self, limit_seconds: float) -> None:
        self._limit_seconds = limit_seconds
        # Unlike a condition or an event, such a queue can be used by a signal handler while its thread waits for it.
        self._waiting: set[SimpleQueue[Callable[[], Any]]] = set()

    def run(self, request: Callable[[], T], limit_seconds: float | None = None) -> T:
        """Return what a request returns, and raise what it raises.

        Raises TimeoutError after the time limit, InterruptedError if it is given up. Can be called from several
        threads.
        """
        limit_seconds = self._limit_seconds if limit_seconds is None else limit_seconds
        outcomes: SimpleQueue[Callable[[], T]] = SimpleQueue()
        self._waiting.add(outcomes)
        try:
            threading.Thread(target=lambda: outcomes.put(_outcome(request)), name="request", daemon=True).start()
            outcome = outcomes.get(timeout=limit_seconds)
        except Empty:
            raise TimeoutError(f"there was no answer within {limit_seconds:.0f} s") from None
        finally:
            self._waiting.discard(outcomes)
        return outcome()

    def cancel(self) -> None:
        """Give up all running requests. Can be called from another thread, or from a signal handler."""
        for outcomes in tuple(self._waiting):
            outcomes.put(_given_up)


def asking(file: Any, requests: Requests) -> BinaryIO:
    """Return an open file of a server, without a buffer, whose reads are requests. After an error it is of no use."""
    return cast(BinaryIO, _File(file, requests))


class _File(io.RawIOBase):
    """An open file of an object store whose reads are requests.

    After an error it cannot be used any more: the request may still be running, and would move its position.
    """

    def __init__(self, file: Any, requests: Requests) -> None:
        self._file = file
        self._requests = requests
        self._failed = False

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        if self._failed:
            raise OSError(_FAILED)
        return int(self._file.seek(offset, whence))

    def readinto(self, buffer: Any) -> int:
        failed, self._failed = self._failed, True
        if failed:
            raise OSError(_FAILED)
        # It must not write into the buffer: once it has been given up, the buffer may be in use again.
        data = self._requests.run(lambda: self._file.read(len(buffer)))
        self._failed = False
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._file.close()


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
