"""How many records fit into the next batch."""

from __future__ import annotations

_FIRST_BATCH = 100


class Pace:
    """The number of records in the next batch: as many as should fit, by the size of the last ones.

    most: records. aim_bytes: the size of a batch.
    """

    def __init__(self, most: int, aim_bytes: int) -> None:
        self._most = most
        self._aim = aim_bytes
        self._records = min(_FIRST_BATCH, most)

    def records(self) -> int:
        """Return the number."""
        return self._records

    def learn(self, records: int, size: int) -> None:
        """Note the size of a batch in bytes."""
        fitting = records * self._aim // max(size, 1)
        self._records = max(1, min(fitting, self._most, 4 * self._records))
