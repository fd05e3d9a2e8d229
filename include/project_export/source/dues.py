"""What has to be done to the values of a record, by the flags of its row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from operator import itemgetter

from project_export.source.values import Due
from project_export.tree.transforms import TRANSFORMS

_MOST = 256

Step = tuple[str, str | None]
"""A transform, and the JSON text that replaces a null after it."""
Quick = Callable[[bytes], bytes | None]
"""Does the same as all steps for usual values, from JSON text to JSON text; None for others."""


@dataclass(frozen=True)
class Change:
    """What is done to the value of a key. quick: None if there are only the steps."""

    key: str
    steps: Sequence[Step]
    quick: Quick | None


class Dues:
    """Transforms of keys, those of one key after each other, in the order of the keys in a record."""

    def __init__(self, dues: Sequence[Due]) -> None:
        self._dues = dues
        self._bits = sum(due[0] for due in dues)
        self._demanded = lru_cache(_MOST)(self._changes)

    def __bool__(self) -> bool:
        return bool(self._dues)

    def demanded(self, flags: int) -> Sequence[Change]:
        """Return what the flags of a row demand, in the order of the keys."""
        return self._demanded(flags & self._bits)

    def _changes(self, bits: int) -> Sequence[Change]:
        changes = []
        for key, dues in groupby([due for due in self._dues if bits & due[0]], itemgetter(1)):
            steps = [due[2:] for due in dues]
            changes.append(Change(key, steps, _quick(*steps[0]) if len(steps) == 1 else None))
        return changes


def _quick(name: str, default: str | None) -> Quick | None:
    transform = TRANSFORMS.get(name)
    if transform is None or default is not None:
        return None
    quick = transform.quick
    if quick is None or transform.of_null:
        return quick
    return lambda stored: None if stored == b"null" else quick(stored)
