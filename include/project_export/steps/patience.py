"""Wait while the ledger does not answer: the work of a step is worth more than a few seconds."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from project_export.errors import LedgerBusy

log = logging.getLogger(__name__)

T = TypeVar("T")

_FIRST_SECONDS, _MOST_SECONDS = 0.2, 5.0
_LOOK_SECONDS = 0.1


class Stop:
    """Whether to stop. A signal handler may say so, also while another one does.

    A threading.Event has a lock. A second signal that arrives while the first one sets the event, or while the
    interrupted code waits for it, would wait for that lock for ever.
    """

    def __init__(self) -> None:
        self.said = False

    def wait(self, seconds: float) -> bool:
        """Wait until it is said, for up to `seconds`, and return whether it is."""
        deadline = time.monotonic() + seconds
        while not self.said and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, _LOOK_SECONDS))
        return self.said


def patiently(write: Callable[[], T], seconds: float, stop: Stop) -> T:
    """Return what `write` returns. While the ledger does not answer, try again, for up to `seconds` or until `stop`.

    A try may have been written although its answer was lost. Raises the last LedgerBusy, and whatever else `write`
    raises.
    """
    deadline, delay = time.monotonic() + seconds, _FIRST_SECONDS
    while True:
        try:
            return write()
        except LedgerBusy as error:
            if time.monotonic() + delay > deadline or stop.wait(delay):
                raise
            log.warning("trying again: %s", error)
            delay = min(2 * delay, _MOST_SECONDS)
