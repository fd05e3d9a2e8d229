"""The bundle of a repository, as a stream: what `git bundle create - --all` would write, and a proof that it is whole.

The header is written here and only the pack by git, because `git bundle create` leaves out a branch `main`, and
succeeds, if there is also a branch `refs/heads/main`. It also walks the history once more, and hides how the process
that packs has ended.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

from project_export.errors import GitFailed, RepositoryRefused
from project_export.repositories.call import CHUNK
from project_export.repositories.files import reading
from project_export.repositories.folders import writing
from project_export.repositories.format import Format
from project_export.repositories.git import Git
from project_export.repositories.objects import Pools, packs
from project_export.repositories.reader import Pack
from project_export.repositories.refs import Refs, moved, refs_of
from project_export.repositories.standin import StandIn, stand_in

_PACK = ("pack-objects", "--revs", "--stdout", "--delta-base-offset", "-q")


class Bundle:
    """A bundle of all refs of a repository, to be read once; a context manager that ends git.

    Its bytes count only after the last one: the iteration raises RepositoryRefused if git cannot read the repository
    whole, and GitFailed if git was killed, was cancelled, took too long, or was disturbed by a repack, or if the pack
    is not what git wrote. A repository without refs has no bytes.

    moved: the refs that have changed meanwhile, known after the last bytes; the bundle has them as they were.
    """

    def __init__(self, git: Git, repository: Path, form: Format, pools: Pools) -> None:
        self.moved: Sequence[str] = ()
        self._git = git
        self._repository = repository
        self._format = form
        self._pools = pools
        self._chunks: Generator[bytes, None, None] | None = None
        self._refs: Refs | None = None

    def __enter__(self) -> Bundle:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._chunks:
            self._chunks.close()

    def __iter__(self) -> Iterator[bytes]:
        """Return the bytes in chunks of CHUNK; the last ones of header and pack are shorter."""
        if self._chunks:
            raise RuntimeError("a bundle can be read only once")
        self._chunks = self._read()
        return self._chunks

    @property
    def refs(self) -> dict[str, str]:
        """The id of each ref's object, with HEAD unless it is unborn; none before the first bytes."""
        return dict(self._refs.lines()) if self._refs else {}

    def _read(self) -> Generator[bytes, None, None]:
        there = self._packs()
        with stand_in(self._git, self._repository, self._format) as shown:
            self._refs = refs = refs_of(shown, self._format)
            if refs.refs or refs.head_id:
                yield from _joined(_header(refs))
                yield from self._pack(shown, refs, there)
        with stand_in(self._git, self._repository, self._format) as shown:
            self.moved = moved(shown, self._format, refs)

    def _pack(self, shown: StandIn, refs: Refs, there: list[frozenset[str]]) -> Iterator[bytes]:
        """Yield the pack. there: the packs of the repository before its refs were read."""
        wanted = shown.folder / "wanted"
        with writing(shown.folder), wanted.open("w") as file:
            file.writelines(f"{object_id}\n" for _, object_id in refs.lines())
        pack = Pack("sha256" if self._format.sha256 else "sha1")
        with shown.call(*_PACK, stdin=wanted) as call:
            for chunk in call.chunks():
                pack.feed(chunk)
                yield chunk
            failed, said = call.end(), call.said()
        if failed and there != self._packs():
            raise GitFailed(f"{self._repository} was repacked while git read it{said}. A retry reads it again.")
        if failed:
            raise RepositoryRefused(f"git cannot read {self._repository} whole{said}{self._cause(shown)}")
        if not pack.whole():
            raise GitFailed(f"The pack of {self._repository} is not the one that git wrote. A retry reads it again.")

    def _packs(self) -> list[frozenset[str]]:
        with reading(self._repository):
            return [packs(folder) for folder in (self._repository / "objects", *self._pools.folders)]

    def _cause(self, shown: StandIn) -> str:
        """Return the rest of the message of a failure: which ref it is, if git knows, and what to do."""
        code, _, said = shown.ask("for-each-ref", "--format=%(objecttype)")
        named = said if code else ""
        if self._pools.missing:
            pools = ", ".join(map(str, self._pools.missing))
            return f"{named}. It borrows objects from {pools}, which does not exist: restore or mount that object pool."
        if self._format.partial:
            return f"{named}. It is a partial clone, whose other objects are elsewhere: fetch them all first."
        return f"{named}. `git fsck --full` in that folder lists what is damaged: restore it from a backup."


def _header(refs: Refs) -> Iterator[bytes]:
    yield b"# v2 git bundle\n" if refs.object_format == "sha1" else b"# v3 git bundle\n@object-format=sha256\n"
    for name, object_id in refs.lines():
        yield f"{object_id} {name}\n".encode("utf-8", "surrogateescape")
    yield b"\n"


def _joined(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the pieces joined to chunks of about CHUNK bytes."""
    chunk = bytearray()
    for piece in pieces:
        chunk += piece
        if len(chunk) >= CHUNK:
            yield bytes(chunk)
            chunk.clear()
    if chunk:
        yield bytes(chunk)
