"""The manifest: a JSON file next to the archive with what is needed to check each of its bytes and to find its job."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from pydantic import TypeAdapter, ValidationError

from project_export.archive.files import ArchiveFile, MissingFile, RelationFiles
from project_export.errors import ArchiveBroken
from project_export.store import Assembled


@dataclass(frozen=True)
class ManifestPart:
    """A part in the archive.

    rows: the number of its records; the name is the JSON key in the file format. generation: of the snapshot from which
    it was read.
    """

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

    file: its name in the archive, None if a relation without records has no file. rows: the number of records; the name
    is the JSON key in the file format. bytes: size of the whole file. sha256: of the whole file, None if it has several
    parts, because each part has its own. attempts: of the part with the most attempts. remarks: what is odd, or missing
    from the application's version. omissions: what the source has, or may have, and the file lacks. files: those of a
    relation that has no records; their bytes are those of the files, without headers and padding. missing: files that
    the source names and the archive lacks. changed_at: the column by whose time the records are limited to those that
    changed in the window; None if the relation is there as a whole.
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
    files: tuple[ArchiveFile, ...] = ()
    missing: tuple[MissingFile, ...] = ()
    changed_at: str | None = None

    @classmethod
    def of(
        cls,
        relation: str,
        file: str | None,
        parts: Sequence[ManifestPart],
        remarks: Sequence[str] = (),
        omissions: Sequence[str] = (),
        files: RelationFiles | None = None,
        *,
        changed_at: str | None = None,
    ) -> ManifestRelation:
        """Return a relation with the totals of its parts, which are in order."""
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
            files=files.files if files else (),
            missing=files.missing if files else (),
            changed_at=changed_at,
        )


@dataclass(frozen=True)
class ManifestSnapshot:
    """The database snapshot that all relations share; id is None if each relation has its own snapshot."""

    generation: int
    id: str | None


@dataclass(frozen=True)
class ManifestWindow:
    """The window of an archive of changes; times in ISO 8601.

    start: None if the archive has everything up to the end. predecessor_job_id: the job that it follows. guard: how it
    was kept from missing what was committed late: `transactions` (it waited for those that were open) or `overlap` (the
    next window starts earlier). unseen: what an archive of changes cannot show.
    """

    start: str | None
    end: str
    predecessor_job_id: int | None
    guard: str
    unseen: tuple[str, ...] = ()


@dataclass(frozen=True)
class ManifestSource:
    """An archive from which another one was made. sha256: of its file, in hexadecimal."""

    job_id: int
    mode: str
    window: ManifestWindow | None
    created_at: str
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """The contents and the origin of an archive.

    omissions: of all relations: what the source has, or may have, and the archive lacks. created_at: when the job was
    created, by the ledger's clock, in ISO 8601. remarks: about the archive as a whole. mode: `full`, or `changes` for
    an archive of what changed in a window. next_window_start: a window that starts here or earlier continues this
    archive. made_of: the archives that were merged into this one, if it was not exported itself.
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
    mode: str = "full"
    window: ManifestWindow | None = None
    next_window_start: str | None = None
    made_of: tuple[ManifestSource, ...] = ()

    def to_json(self) -> str:
        """Return the manifest as indented JSON; the order of its keys is always the same."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"

    @staticmethod
    def from_json(text: str | bytes) -> Manifest:
        """Parse the output of to_json and ignore unknown keys. Raises ArchiveBroken, which names each wrong field."""
        try:
            return _MANIFEST.validate_json(text)
        except ValidationError as error:
            places = "; ".join(
                f"{'.'.join(map(str, one['loc'])) or 'the file'}: {one['msg']}"
                for one in error.errors(include_url=False)
            )
            raise ArchiveBroken(
                f"This is not the manifest of an archive: {places}. Use the one next to the archive."
            ) from error


_MANIFEST = TypeAdapter(Manifest)
