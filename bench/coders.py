"""The time that a usual position of a note on a diff takes, read without a YAML parser and with one.

python -m bench.coders [--json]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from random import Random

from bench.real import positions
from project_export.coders import exact
from project_export.trees.gitlab import position, quick_position

_CALLS, _ROUNDS = 2000, 15
USUAL, SEVERAL, PARSED = "on one line", "on several lines", "with PyYAML"


def main() -> None:
    """Print the microseconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="as one line of JSON")
    found = measure()
    if parser.parse_args().json:
        print(json.dumps(found))
        return
    for title, micros in found.items():
        print(f"{title}: {micros:.1f} microseconds")


def measure() -> dict[str, float]:
    """Return microseconds of CPU for a position, by what is measured: the best of interleaved rounds.

    Raises ValueError if a position of the data cannot be read without a parser.
    """
    texts = [json.dumps(text) for text in positions(Random(1), _CALLS)]
    kinds = {kind: [text.encode() for text in texts if ("start" in text.split("line_range")[1]) == several]
        for kind, several in ((USUAL, False), (SEVERAL, True))}  # fmt: skip
    if None in map(quick_position, (text for some in kinds.values() for text in some)):
        raise ValueError("a usual position needs a parser")
    best = dict.fromkeys((USUAL, SEVERAL, PARSED), float("inf"))
    for _ in range(_ROUNDS):
        for kind, some in kinds.items():
            best[kind] = min(best[kind], _micros(quick_position, some))
        best[PARSED] = min(
            best[PARSED], _micros(lambda text: exact.write(position(json.loads(text))), kinds[USUAL][:200])
        )
    return best


def _micros(call: Callable[[bytes], object], texts: list[bytes]) -> float:
    """Return the microseconds of CPU of one call."""
    start = time.process_time()
    for text in texts:
        call(text)
    return (time.process_time() - start) / len(texts) * 1e6


if __name__ == "__main__":
    main()
