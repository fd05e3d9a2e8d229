"""Check git bundles as a stream: whether one is complete and needs no other.

Format: git's Documentation/gitformat-bundle and gitformat-pack: a line with the version, capabilities (version 3
only), prerequisites, references, an empty line, and a pack that ends with the hash of its other bytes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from itertools import chain

PACK = b"PACK"
LONGEST_HEADER = 64 << 20
LONGEST_SIGNATURE = 16

_SIGNATURE = re.compile(rb"# v[23] git bundle")
_REFERENCE = re.compile(rb"([0-9a-f]{40}|[0-9a-f]{64}) .+", re.DOTALL)


def wrong(chunks: Iterator[bytes]) -> str | None:
    """Return what is wrong with a bundle, or None. Reads it to its end, and keeps its header in memory.

    Whether all objects of each reference exist is not checked: only git can do that.
    """
    header = bytearray()
    end = -1
    while end < 0 and len(header) <= LONGEST_HEADER:
        searched = len(header)
        header += next(chunks, b"")
        if not _SIGNATURE.match(header) and (len(header) > LONGEST_SIGNATURE or len(header) == searched):
            return "it does not start like a git bundle"
        if len(header) == searched:
            return "it ends within its list of references"
        end = header.find(b"\n\n", max(searched - 1, 0))
    signature, *rest = bytes(header[: max(end, 0)]).split(b"\n")
    algorithm = hashlib.sha256 if b"@object-format=sha256" in rest else hashlib.sha1
    references = [line for line in rest if not line.startswith(b"@")]
    if any(line.startswith(b"-") for line in references):
        return "it needs commits that it does not hold"
    if not _SIGNATURE.fullmatch(signature) or not references or not all(map(_REFERENCE.fullmatch, references)):
        return "its list of references is damaged"
    return _wrong_pack(chain([bytes(header[end + 2 :])], chunks), algorithm())


def _wrong_pack(chunks: Iterable[bytes], hashed: hashlib._Hash) -> str | None:
    began = held = b""
    for chunk in chunks:
        began += chunk[: len(PACK) - len(began)]
        held += chunk
        hashed.update(held[: -hashed.digest_size])
        held = held[-hashed.digest_size :]
    if began != PACK:
        return "no pack follows its references"
    if held != hashed.digest():
        return "its pack is damaged or cut short"
    return None
