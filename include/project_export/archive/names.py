"""Names of an archive's members: which are safe to unpack, and which are the same."""

from __future__ import annotations

import re

LONGEST_PATH = 4096
LONGEST_NAME = 255

_DRIVE = re.compile(r"[A-Za-z]:")


def plain(name: str) -> str:
    """The name without what does not count: `./a//b/` is `a/b`."""
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def wrong_name(name: str) -> str | None:
    """What makes a name unfit to be unpacked by everyone; None when it is fit."""
    if name.startswith(("/", "~", "\\")) or _DRIVE.match(name):
        return "that is absolute"
    if ".." in re.split(r"[/\\]", name):
        return "that climbs"
    stored = name.encode("utf-8", "surrogateescape")
    if len(stored) > LONGEST_PATH or any(len(part) > LONGEST_NAME for part in stored.split(b"/")):
        return f"of more than {LONGEST_PATH} bytes, or {LONGEST_NAME} in one part"
    return None
