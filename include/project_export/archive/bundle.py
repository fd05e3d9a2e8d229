"""Git bundles as a stream: is one whole, and can a clone be made of it alone?

Format: git's Documentation/gitformat-bundle and gitformat-pack: a line with the version, in version 3 capabilities,
prerequisites, references, an empty line, and a pack, whose last bytes are the hash of those before.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

LONGEST_HEADER = 64 << 20

_SIGNATURE = re.compile(rb"# v[23] git bundle")
_REFERENCE = re.compile(rb"([0-9a-f]{40}|[0-9a-f]{64}) .+", re.DOTALL)


def wrong(chunks: Iterator[bytes]) -> str | None:
    """What is wrong with a bundle, None when nothing is; it is read to its end. Keeps its header in memory."""
    header = b""
    while (end := header.find(b"\n\n")) < 0 and len(header) <= LONGEST_HEADER:
        chunk = next(chunks, b"")
        header += chunk
        if not _SIGNATURE.match(header) and (len(header) > 16 or not chunk):
            return "it does not begin like a git bundle"
        if not chunk:
            return "it ends within its list of references"
    signature, *rest = header[: max(end, 0)].split(b"\n")
    algorithm = hashlib.sha256 if b"@object-format=sha256" in rest else hashlib.sha1
    references = [line for line in rest if not line.startswith(b"@")]
    if any(line.startswith(b"-") for line in references):
        return "it needs commits that it does not hold, so that it cannot be cloned"
    if not _SIGNATURE.fullmatch(signature) or not references or not all(map(_REFERENCE.fullmatch, references)):
        return "its list of references is damaged"
    return _wrong_pack(header[end + 2 :], chunks, algorithm())


def _wrong_pack(held: bytes, chunks: Iterator[bytes], hashed: hashlib._Hash) -> str | None:
    began = b""
    for chunk in chunks:
        began = began or (held + chunk)[:4]
        held += chunk
        hashed.update(held[: -hashed.digest_size])
        held = held[-hashed.digest_size :]
    if not began:
        began = held[:4]
        hashed.update(held[: -hashed.digest_size])
        held = held[-hashed.digest_size :]
    if began != b"PACK":
        return "no pack follows its references"
    if held != hashed.digest():
        return "its pack is damaged or cut short"
    return None
