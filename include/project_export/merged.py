"""The result of an export: the archive that a job published."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Merged:
    """The published archive: its URI, size in bytes, SHA-256 (hex) and number of records.

    omissions: what the source has, or may have, and the archive lacks.
    """

    uri: str
    bytes: int
    sha256: str
    records: int
    omissions: tuple[str, ...] = ()
