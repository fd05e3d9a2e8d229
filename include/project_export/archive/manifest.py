"""What an archive is made of, as a JSON file beside it: enough to check each byte, and to find its job."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from pydantic import TypeAdapter, ValidationError

from project_export.errors import ArchiveBroken
from project_export.store import Assembled


@dataclass(frozen=True)
class ManifestPart:
    """A part in the archive. generation: of the snapshot that it was read from."""

    part: int
    rows: int
    raw_bytes: int
    stored_bytes: int
    sha256: str
    attempt: int
    generation: int


@dataclass(frozen=True)
class ManifestRelation:
    """A relation in the archive.

    file: its name in the archive, None where a relation without records has none. rows, bytes: of the whole file.
    sha256: of the whole file, None where several parts make it, since theirs stand for it. attempts: of the part that
    took most. remarks: what is odd, or its version does not have. omissions: what the source has, or may have, and the
    file lacks.
    """

    relation: str
    file: str | None
    rows: int
    bytes: int
    sha256: str | None
    attempts: int
    parts: tuple[ManifestPart, ...]
    remarks: tuple[str, ...] = ()
    omissions: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        relation: str,
        file: str | None,
        parts: Sequence[ManifestPart],
        remarks: Sequence[str] = (),
        omissions: Sequence[str] = (),
    ) -> ManifestRelation:
        """Sum up a relation from its parts, given in order."""
        return cls(
            relation=relation,
            file=file,
            rows=sum(part.rows for part in parts),
            bytes=sum(part.raw_bytes for part in parts),
            sha256=parts[0].sha256 if len(parts) == 1 else None,
            attempts=max((part.attempt for part in parts), default=0),
            parts=tuple(parts),
            remarks=tuple(remarks),
            omissions=tuple(omissions),
        )


@dataclass(frozen=True)
class ManifestSnapshot:
    """The database snapshot that all relations share; id is None where each has its own."""

    generation: int
    id: str | None


@dataclass(frozen=True)
class Manifest:
    """What an archive is made of.

    omissions: what the source has, or may have, and the archive lacks, of all relations. created_at: ISO 8601, by the
    ledger's clock. remarks: on the archive as a whole.
    """

    omissions: tuple[str, ...] = field(default=(), kw_only=True)
    package_version: str
    job_id: int
    source: str
    tree: str
    project_id: int
    run_id: str
    requested_by: str | None
    consistency: str
    snapshot: ManifestSnapshot
    created_at: str
    archive: Assembled
    relations: tuple[ManifestRelation, ...]
    remarks: tuple[str, ...] = ()

    def to_json(self) -> str:
        """As indented JSON, its keys always in the same order."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"

    @staticmethod
    def from_json(text: str | bytes) -> Manifest:
        """Read what to_json wrote; unknown keys are left out. Raises ArchiveBroken naming the places that are wrong."""
        try:
            return _MANIFEST.validate_json(text)
        except ValidationError as error:
            places = "; ".join(
                f"{'.'.join(map(str, one['loc'])) or 'the file'}: {one['msg']}"
                for one in error.errors(include_url=False)
            )
            raise ArchiveBroken(
                f"This is not the manifest of an archive: {places}. Give the one beside the archive."
            ) from error


_MANIFEST = TypeAdapter(Manifest)
