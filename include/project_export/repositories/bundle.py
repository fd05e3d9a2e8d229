"""The bundle of a repository, as a stream: what `git bundle create - --all` would write, and a proof that it is whole.

The header is written here and only the pack by git, because `git bundle create` leaves out a branch `main`, and
succeeds, if there is also a branch `refs/heads/main`. It also walks the history once more, and hides how the process
that packs has ended.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from project_export.errors import GitFailed, RepositoryRefused
from project_export.repositories.call import CHUNK, Call
from project_export.repositories.files import reading
from project_export.repositories.format import Format
from project_export.repositories.git import Git
from project_export.repositories.objects import Pools, packs
from project_export.repositories.reader import Pack
from project_export.repositories.refs import Refs, refs_of
from project_export.repositories.standin import StandIn, stand_in

_PACK = ("pack-objects", "--revs", "--stdout", "--delta-base-offset", "-q")


class Bundle:
    """A bundle of all refs of a repository, to be read once; a context manager that ends git.

    Its bytes count only after the last one: the iteration raises RepositoryRefused if git cannot read the repository
    whole, and GitFailed if git was killed, was cancelled, took too long, or was disturbed by a repack, or if the pack
    is not what git wrote. A repository without refs has no bytes.

    refs: the id of each ref's object, with HEAD unless it is unborn; known with the first bytes. moved: the refs that
    have changed since, known after the last bytes; the bundle has them as they were.
    """

    def __init__(self, git: Git, repository: Path, form: Format, pools: Pools) -> None:
        self.refs: Mapping[str, str] = {}
        self.moved: Sequence[str] = ()
        self._git = git
        self._repository = repository
        self._format = form
        self._pools = pools
        self._call: Call | None = None
        self._cancelled = False
        self._chunks: Generator[bytes, None, None] | None = None

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

    def cancel(self) -> None:
        """Kill git at once, from another thread or a signal handler; who reads gets GitFailed."""
        self._cancelled = True
        if self._call:
            self._call.cancel()

    def _read(self) -> Generator[bytes, None, None]:
        there = self._packs()
        with stand_in(self._git, self._repository, self._format) as shown:
            before = refs_of(shown, self._format)
            self.refs = before.named()
            if self.refs:
                yield from _joined(self._header())
                yield from self._pack(shown, there)
        with stand_in(self._git, self._repository, self._format) as shown:
            self.moved = _moved(before, refs_of(shown, self._format))

    def _header(self) -> Iterator[bytes]:
        yield b"# v3 git bundle\n@object-format=sha256\n" if self._format.sha256 else b"# v2 git bundle\n"
        for name, object_id in self.refs.items():
            yield f"{object_id} {name}\n".encode("utf-8", "surrogateescape")
        yield b"\n"

    def _pack(self, shown: StandIn, there: list[frozenset[str]]) -> Iterator[bytes]:
        """Yield the pack. there: the packs of the repository before its refs were read."""
        wanted = shown.folder / "wanted"
        wanted.write_text("".join(f"{one}\n" for one in dict.fromkeys(self.refs.values())))
        pack = Pack("sha256" if self._format.sha256 else "sha1")
        with shown.call(*_PACK, stdin=wanted) as self._call:
            if self._cancelled:
                self._call.cancel()
            for chunk in self._call.chunks():
                pack.feed(chunk)
                yield chunk
            failed, said = self._call.end(), self._call.said()
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


def _moved(before: Refs, after: Refs) -> list[str]:
    """Return the names of what has changed between two moments, sorted; HEAD also if it names another ref."""
    old, new = before.named(), after.named()
    changed = {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
    return sorted(changed | ({"HEAD"} if before.head != after.head else set()))


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
