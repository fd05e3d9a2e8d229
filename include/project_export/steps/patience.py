"""Wait while the ledger does not answer: the work of a step is worth more than a few seconds."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from project_export.errors import LedgerBusy

log = logging.getLogger(__name__)

T = TypeVar("T")

_FIRST_SECONDS, _MOST_SECONDS = 0.2, 5.0


def patiently(write: Callable[[], T], seconds: float, stopped: threading.Event) -> T:
    """Return what `write` returns. While the ledger does not answer, try again, for up to `seconds` or until `stopped`.

    A try may have been written although its answer was lost. Raises the last LedgerBusy, and whatever else `write`
    raises.
    """
    deadline, delay = time.monotonic() + seconds, _FIRST_SECONDS
    while True:
        try:
            return write()
        except LedgerBusy as error:
            if time.monotonic() + delay > deadline or stopped.wait(delay):
                raise
            log.warning("trying again: %s", error)
            delay = min(2 * delay, _MOST_SECONDS)
