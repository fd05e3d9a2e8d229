"""Whether compressing a file again makes it smaller, by a sample of its first bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from isal import isal_zlib

from project_export.source import Chunk

SAMPLE = 64 << 10
_WORTH = 0.97
"""Ratio above which compression is not worth its time: packs, images and archives reach 0.99 and more."""


def packed(sample: bytes) -> bool:
    """Return whether a sample of a file is compressed already."""
    return len(sample) >= 512 and len(isal_zlib.compress(sample, 1, -15)) > _WORTH * len(sample)


def chunks(blocks: Iterable[bytes]) -> Iterator[Chunk]:
    """Yield the blocks of one file as chunks, which say whether the file is compressed already."""
    decided: bool | None = None
    for block in blocks:
        if decided is None and block:
            middle = max(0, len(block) // 2 - SAMPLE // 2)
            decided = packed(block[middle : middle + SAMPLE])
        yield Chunk(block, 0, packed=bool(decided))
