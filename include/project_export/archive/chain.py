"""Which archives of changes continue a full archive, by their manifests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from project_export.archive.manifest import Manifest, ManifestSource
from project_export.errors import ArchiveBroken, ArtifactMissing, BadRequest, listed
from project_export.store import MANIFEST


@dataclass(frozen=True)
class Part:
    """An archive and its manifest."""

    path: Path
    manifest: Manifest

    @classmethod
    def open(cls, path: Path) -> Part:
        """Return an archive with the manifest beside it. Raises ArtifactMissing, ArchiveBroken."""
        beside = path.with_name(MANIFEST)
        for file in (path, beside):
            if not file.is_file():
                raise ArtifactMissing(
                    f"{file}: there is no such file. Each archive needs its manifest beside it, in a folder of its own."
                )
        return cls(path, Manifest.from_json(beside.read_bytes()))

    @property
    def continued_from(self) -> datetime:
        """When a window that continues it starts at the latest. Raises ArchiveBroken if the manifest lacks it."""
        if self.manifest.next_window_start is None:
            raise ArchiveBroken(f"{self.path}: its manifest does not say what continues it. Export it again.")
        return datetime.fromisoformat(self.manifest.next_window_start)

    @property
    def start(self) -> datetime | None:
        """Where its window starts; None if it has everything."""
        window = self.manifest.window
        return None if window is None or window.start is None else datetime.fromisoformat(window.start)

    @property
    def end(self) -> datetime:
        """Where the window of an archive of changes ends."""
        assert self.manifest.window is not None
        return datetime.fromisoformat(self.manifest.window.end)

    @property
    def created_at(self) -> datetime:
        """When its export began."""
        return datetime.fromisoformat(self.manifest.created_at)

    def sources(self) -> tuple[ManifestSource, ...]:
        """Return the exported archives that it consists of."""
        one = self.manifest
        own = ManifestSource(one.job_id, one.mode, one.window, one.created_at, one.archive.sha256)
        return one.made_of or (own,)


@dataclass(frozen=True)
class Chain:
    """A full archive and the deltas that continue it, in the order in which they were exported."""

    base: Part
    deltas: tuple[Part, ...]

    @classmethod
    def of(cls, base: Path, deltas: Iterable[Path]) -> Chain:
        """Return the chain of these archives.

        Raises BadRequest, with everything that is wrong, if they do not belong together or leave a gap; ArtifactMissing
        and ArchiveBroken.
        """
        first = Part.open(base)
        others = sorted(map(Part.open, deltas), key=lambda part: part.created_at)
        problems = [*_base(first), *(text for part in others for text in _foreign(first, part))]
        if not problems:
            problems = list(_gaps(first, others))
        if problems:
            raise BadRequest(listed("these archives cannot be merged", problems))
        return cls(first, tuple(others))

    @property
    def newest(self) -> Part:
        """The archive that was exported last."""
        return (self.base, *self.deltas)[-1]

    @property
    def continued_from(self) -> datetime:
        """When a window that continues the whole chain starts at the latest."""
        return max(part.continued_from for part in (self.base, *self.deltas))

    def sources(self) -> tuple[ManifestSource, ...]:
        """Return the exported archives that it consists of."""
        return tuple(source for part in (self.base, *self.deltas) for source in part.sources())


def _base(base: Part) -> Iterator[str]:
    if base.manifest.mode == "changes" and base.start is not None:
        yield f"{base.path}: it only has changes; the first archive must have everything"


def _foreign(base: Part, delta: Part) -> Iterator[str]:
    """Yield why an archive is not a delta of the same project."""
    own, its = base.manifest, delta.manifest
    if its.mode != "changes":
        yield f"{delta.path}: it is not an archive of changes"
    for what, ours, theirs in (
        ("source", own.source, its.source),
        ("tree", own.tree, its.tree),
        ("project", own.project_id, its.project_id),
    ):
        if ours != theirs:
            yield f"{delta.path}: its {what} is {theirs}, that of {base.path} is {ours}"
    has, wanted = ({relation.relation for relation in one.relations} for one in (its, own))
    if has != wanted:
        names = ", ".join(sorted(has ^ wanted))
        yield f"{delta.path}: it does not have the same relations as {base.path}; they differ in {names}"
    if delta.created_at < base.created_at:
        yield f"{delta.path}: it was exported before {base.path}, which has newer records"


def _gaps(base: Part, deltas: Sequence[Part]) -> Iterator[str]:
    covered = base.continued_from
    for delta in deltas:
        if delta.end <= covered:
            yield f"{delta.path}: {base.path} has everything in it, and newer records"
    for delta in sorted(deltas, key=lambda part: part.end):
        if delta.start is not None and delta.start > covered:
            yield (
                f"{delta.path}: its window starts at {delta.start.isoformat()}, but the archives before it are only "
                f"continued by one that starts at {covered.isoformat()} or earlier; the changes between are missing"
            )
        covered = max(covered, delta.continued_from)
