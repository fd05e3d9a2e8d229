"""How often Python looks for cycles of objects that nothing else refers to.

Rows are tuples, so that reading them makes it look hundreds of times a second. None of them is part of a cycle.
"""

from __future__ import annotations

import gc

_NEW_OBJECTS = 10_000


def look_rarely() -> None:
    """Let the process look for cycles after 10,000 new objects: after 700, it takes 5 % of a worker's CPU."""
    gc.set_threshold(_NEW_OBJECTS, *gc.get_threshold()[1:])
