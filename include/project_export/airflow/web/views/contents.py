"""What the manifest of an archive says: omissions first, then remarks, missing files and relations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from project_export.archive.files import MissingFile
from project_export.archive.manifest import Manifest, ManifestRelation

_MOST = 200
"""How many files of a relation are shown; the manifest has all of them."""


@dataclass(frozen=True)
class Content:
    """One relation of an archive. files: the first ones, with their sizes; others: how many there are besides."""

    name: str
    file: str | None
    records: int
    bytes: int
    attempts: int
    sha256: str | None
    files: tuple[tuple[str, int], ...]
    others: int


@dataclass(frozen=True)
class Contents:
    """What an archive has and lacks. missing: by relation; others: how many missing files are not shown."""

    omissions: tuple[str, ...]
    remarks: tuple[tuple[str, str], ...]
    missing: tuple[tuple[str, MissingFile], ...]
    others: int
    relations: tuple[Content, ...]


def contents(manifest: Manifest) -> Contents:
    """Return what the manifest says, at most 200 files of each kind."""
    relations = manifest.relations
    remarks = [("", text) for text in manifest.remarks]
    remarks += [(one.relation, text) for one in relations for text in one.remarks]
    missing = [(one.relation, file) for one in relations for file in one.missing]
    return Contents(
        _all_omissions(manifest),
        tuple(remarks),
        tuple(missing[:_MOST]),
        len(missing[_MOST:]),
        tuple(_content(one) for one in relations),
    )


def _all_omissions(manifest: Manifest) -> tuple[str, ...]:
    every: Iterable[str] = (text for one in manifest.relations for text in one.omissions)
    return tuple(dict.fromkeys([*manifest.omissions, *every]))


def _content(one: ManifestRelation) -> Content:
    files = tuple((file.name, file.bytes) for file in one.files[:_MOST])
    return Content(one.relation, one.file, one.rows, one.bytes, one.attempts, one.sha256, files, len(one.files[_MOST:]))
