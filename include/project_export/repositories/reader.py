"""Read a bundle that is fed in chunks: its refs, and whether its pack is the one that was written.

Format: git's Documentation/gitformat-bundle and gitformat-pack: a line with the version, capabilities (version 3
only), prerequisites, refs, an empty line, and a pack that ends with the hash of its other bytes.
"""

from __future__ import annotations

import hashlib
import re
from typing import Literal

LONGEST_LINE = 64 << 10
LONGEST_HEADER = 256 << 20

_SIGNATURE = re.compile(rb"# v([23]) git bundle")
_REF = re.compile(rb"([0-9a-f]+) (.+)", re.DOTALL)
_PACK = b"PACK"
_PACK_HEADER = 12
_HEX_DIGITS = {"sha1": 40, "sha256": 64}


class Pack:
    """Hashes a pack that is fed in chunks. size: the bytes fed so far."""

    def __init__(self, object_format: str) -> None:
        self.size = 0
        self._hash = hashlib.new(object_format, usedforsecurity=False)
        self._start = b""
        self._held = b""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self.size += len(chunk)
        self._start += chunk[: _PACK_HEADER - len(self._start)]
        length = self._hash.digest_size
        if len(chunk) >= length:
            self._hash.update(self._held)
            self._hash.update(memoryview(chunk)[:-length])
            self._held = chunk[-length:]
        else:
            held = self._held + chunk
            self._hash.update(held[:-length])
            self._held = held[-length:]

    def whole(self) -> bool:
        """Return whether the bytes fed so far are a pack, to its end."""
        version = int.from_bytes(self._start[4:8], "big")
        return (
            self._start[:4] == _PACK
            and version in (2, 3)
            and self.size >= _PACK_HEADER + self._hash.digest_size
            and self._held == self._hash.digest()
        )


class BundleReader:
    """Reads a bundle that is fed in chunks; its memory is that of the refs.

    version: 2 or 3, 0 before it is known. object_format: of the ids, after the header. refs: the id of each ref's
    object, with HEAD if the bundle has it. size: the bytes fed so far.
    """

    def __init__(self) -> None:
        self.version = 0
        self.object_format: Literal["sha1", "sha256"] = "sha1"
        self.refs: dict[str, str] = {}
        self.size = 0
        self._header_size = 0
        self._rest = b""
        self._pack: Pack | None = None
        self._problem = ""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes. Nothing is raised; `end` reports what is wrong."""
        self.size += len(chunk)
        if self._pack:
            self._pack.feed(chunk)
        elif not self._problem:
            self._header(chunk)

    def end(self) -> list[str]:
        """Return what is wrong with the bundle, once all of it was fed: nothing if it is whole.

        Whether its pack contains all objects of its refs is not checked: only git can do that, see `check_bundle`.
        """
        if not self._problem and not self._pack:
            self._problem = "it ends within its list of refs" if self.version else "it does not start like a bundle"
        if not self._problem and self._pack and not self._pack.whole():
            self._problem = "its pack is damaged or cut short: the checksum at its end does not match"
        if not self._problem and not self.refs:
            self._problem = "it has no refs"
        return [self._problem] if self._problem else []

    def _header(self, chunk: bytes) -> None:
        self._header_size += len(chunk)
        data = self._rest + chunk
        start = 0
        while (end := data.find(b"\n", start)) >= 0 and not self._problem:
            if end == start and self.version:
                self._pack = Pack(self.object_format)
                self._pack.feed(data[end + 1 :])
                self._rest = b""
                return
            self._line(data[start:end])
            start = end + 1
        self._rest = data[start:]
        if len(self._rest) > LONGEST_LINE or self._header_size > LONGEST_HEADER:
            self._problem = self._problem or "its list of refs is damaged or too long"

    def _line(self, line: bytes) -> None:
        if not self.version:
            signature = _SIGNATURE.fullmatch(line)
            self.version = int(signature[1]) if signature else 0
            self._problem = "" if signature else "it does not start like a bundle"
        elif line.startswith(b"@"):
            self._capability(line[1:])
        elif line.startswith(b"-"):
            self._problem = "it needs commits that it does not contain"
        else:
            ref = _REF.fullmatch(line)
            name = ref[2].decode("utf-8", "surrogateescape") if ref else ""
            if not ref or len(ref[1]) != _HEX_DIGITS[self.object_format] or name in self.refs:
                self._problem = "its list of refs is damaged"
            else:
                self.refs[name] = ref[1].decode()

    def _capability(self, line: bytes) -> None:
        """Take a capability of version 3: the object format, or a filter that has left objects out."""
        key, _, value = line.partition(b"=")
        if self.version == 3 and key == b"object-format" and value in (b"sha1", b"sha256") and not self.refs:
            self.object_format = "sha1" if value == b"sha1" else "sha256"
        elif self.version == 3 and key == b"filter":
            self._problem = "it lacks objects: it was made with a filter"
        else:
            self._problem = "its list of capabilities is not known here"
