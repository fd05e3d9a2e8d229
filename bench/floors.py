"""What the bytes of a relation cost whatever makes them: their SHA-256, CRC-32 and deflate alone.

python -m bench.floors URI RELATION

Prints CPU seconds per MB of records as one line of JSON, measured on the first of them, in blocks as a worker's.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Callable

from isal import isal_zlib

from bench.peers import PEERS
from project_export.archive.part import BLOCK
from project_export.settings import Settings

MOST_BYTES = 32_000_000
_ROUNDS = 3


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri")
    parser.add_argument("relation")
    arguments = parser.parse_args()
    data = bytearray()
    for chunk in PEERS["ours"].load()(arguments.uri, 1, arguments.relation):
        data += chunk
        if len(data) >= MOST_BYTES:
            break
    print(json.dumps(measure(bytes(data))))


def measure(data: bytes) -> dict[str, float]:
    """Return CPU seconds per MB, the least of some rounds."""
    blocks = [data[at : at + BLOCK] for at in range(0, len(data), BLOCK)]
    level = Settings().compress_level

    def deflate() -> Callable[[bytes], object]:
        return isal_zlib.compressobj(level, isal_zlib.DEFLATED, -15).compress

    ways: dict[str, Callable[[], Callable[[bytes], object]]] = {
        "SHA-256": lambda: hashlib.sha256().update,
        "CRC-32": lambda: isal_zlib.crc32,
        "deflate": deflate,
    }
    return {name: min(_seconds(make, blocks) for _ in range(_ROUNDS)) / len(data) * 1e6 for name, make in ways.items()}


def _seconds(make: Callable[[], Callable[[bytes], object]], blocks: list[bytes]) -> float:
    start, call = time.process_time(), make()
    for block in blocks:
        call(block)
    return time.process_time() - start


if __name__ == "__main__":
    main()
