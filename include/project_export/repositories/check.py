"""Check the bundle of an archive: as a stream, and by a clone. Nothing in a bundle can run anything here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from project_export.repositories.call import CHUNK
from project_export.repositories.git import Git
from project_export.repositories.reader import BundleReader
from project_export.repositories.refs import HEAD
from project_export.repositories.repository import Repository

MOST_SHOWN = 10

# Repositories have old objects with these flaws; GitLab imports them.
_HARMLESS = ("badTimezone", "missingSpaceBeforeDate", "zeroPaddedFilemode")


def check_bundle(bundle: Path | Iterable[bytes], git: Git, folder: Path, *, deep: bool) -> list[str]:
    """Return what is wrong with a bundle; nothing if it is whole.

    bundle: a file, or its bytes in chunks. deep: also clone it into a new folder below `folder`, compare the refs of
    the clone with the bundle's, and let git check all its objects; this needs space for the clone, and for a copy of
    the bundle unless it is a file that git's user can read. Raises GitUnusable, GitFailed and OSError.
    """
    reader = BundleReader()
    if not deep:
        for chunk in _chunks(bundle):
            reader.feed(chunk)
        return reader.end()
    git.check()
    with git.folder(folder) as work:
        file = bundle if isinstance(bundle, Path) and not git.identity() else work / "copy.bundle"
        _read(bundle, reader, file if file != bundle else None)
        return reader.end() or list(_cloned(file.absolute(), reader, git, work))


def _read(bundle: Path | Iterable[bytes], reader: BundleReader, copy: Path | None) -> None:
    """Read a bundle to its end, and copy it to a file if one is given."""
    if copy is None:
        for chunk in _chunks(bundle):
            reader.feed(chunk)
        return
    with copy.open("wb") as out:
        for chunk in _chunks(bundle):
            reader.feed(chunk)
            out.write(chunk)


def _chunks(bundle: Path | Iterable[bytes]) -> Iterator[bytes]:
    if not isinstance(bundle, Path):
        yield from bundle
        return
    with bundle.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _cloned(file: Path, reader: BundleReader, git: Git, work: Path) -> Iterator[str]:
    """Clone a bundle, and yield what is wrong with the clone."""
    clone = work / "clone.git"
    with git.call("clone", "--mirror", "--quiet", "--template=", "--", file, clone, protocols="file") as call:
        if call.whole()[0]:
            yield f"it cannot be cloned{call.said()}"
            return
    repository = Repository.open(work, clone.name, git)
    assert repository is not None
    refs = repository.refs().refs
    differ = sorted(name for name in reader.refs if name != HEAD and refs.get(name) != reader.refs[name])
    differ += sorted(refs.keys() - reader.refs.keys())
    if differ:
        names = [*map(ascii, differ[:MOST_SHOWN]), *["..."] * (len(differ) > MOST_SHOWN)]
        yield f"{len(differ)} refs of a clone differ from those of the bundle: {', '.join(names)}"
    options = [word for flaw in _HARMLESS for word in ("-c", f"fsck.{flaw}=ignore")]
    words = ("fsck", "--full", "--no-dangling", "--no-progress")
    with git.call(*options, f"--git-dir={clone}", *words) as call:
        if call.whole()[0]:
            yield f"git finds damage in its objects{call.said()}"
