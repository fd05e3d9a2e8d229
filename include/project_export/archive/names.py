"""Names of an archive's members: whether they are safe to unpack, and whether two of them are the same."""

from __future__ import annotations

import re

LONGEST_PATH = 4096
LONGEST_NAME = 255

_DRIVE = re.compile(r"[A-Za-z]:")


def plain(name: str) -> str:
    """Return the name without parts that have no effect: `a/b` for `./a//b/`."""
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def wrong_name(name: str) -> str | None:
    """Return why a name is not safe to unpack everywhere, or None if it is safe."""
    if name.startswith(("/", "~", "\\")) or _DRIVE.match(name):
        return "that is absolute"
    if ".." in re.split(r"[/\\]", name):
        return "that contains .."
    stored = name.encode("utf-8", "surrogateescape")
    if len(stored) > LONGEST_PATH or any(len(part) > LONGEST_NAME for part in stored.split(b"/")):
        return f"of more than {LONGEST_PATH} bytes, or with more than {LONGEST_NAME} in one part"
    return None
