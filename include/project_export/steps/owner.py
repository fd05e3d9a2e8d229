"""The owner of a row in the ledger: the worker that exports it, and its process."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from project_export.steps.process import Process

_TEXT = re.compile(r"(?s)(.*)/(-?\d+)/(\d+)(?: (\S+))?")


@dataclass(frozen=True)
class Owner:
    """A run, one of its units, and the try of that unit; in the ledger also the process.

    >>> Owner.parse("dag/run/3/1 host:17:99")
    Owner(run_id='dag/run', unit=3, attempt=1, process=Process(host='host', pid=17, born='99'))
    >>> str(Owner("dag/run", 3, 1))
    'dag/run/3/1'
    """

    run_id: str
    unit: int
    attempt: int
    process: Process | None = None

    def __str__(self) -> str:
        name = f"{self.run_id}/{self.unit}/{self.attempt}"
        return f"{name} {self.process}" if self.process else name

    @staticmethod
    def parse(text: str | None) -> Owner | None:
        """Return the owner that a text of the ledger names, None if it names none."""
        found = _TEXT.fullmatch(text or "")
        if found is None:
            return None
        run_id, unit, attempt, process = found.groups()
        return Owner(run_id, int(unit), int(attempt), Process.parse(process or ""))

    def here(self) -> Owner:
        """Return this owner in the current process."""
        return replace(self, process=Process.this())

    def earlier_try_of(self, other: Owner) -> bool:
        """Return whether this is another try of the same unit."""
        return (self.run_id, self.unit) == (other.run_id, other.unit) and self.attempt != other.attempt
