"""The refs of a repository, all of them: what git lists, compared with its files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from project_export.errors import RepositoryRefused
from project_export.repositories.call import Call
from project_export.repositories.files import reading, regular, walk
from project_export.repositories.format import Format
from project_export.repositories.standin import StandIn

HEAD = "HEAD"
MOST_SHOWN = 10
LONGEST_LINE = 64 << 10
MOST_SYMBOLIC = 100
"""Symbolic refs to nothing that are accepted, because git is asked about each of them."""

_LIST = ("for-each-ref", "--format=%(objectname) %(refname)")
_SYMBOLIC = re.compile(rb"ref:[ \t]*(refs/[^\x00-\x20\x7f]+)\s*")
_DETACHED = re.compile(rb"[0-9a-f]{40}(?:[0-9a-f]{24})?")


@dataclass(frozen=True)
class Refs:
    """The refs of a repository at one moment.

    head: the full name of the ref that HEAD names, also if it does not exist (unborn); None if HEAD names an object
    (detached). head_id: the id of the object that HEAD leads to, None if it is unborn. refs: the id of each ref's
    object by the ref's full name, without HEAD.
    """

    head: str | None
    head_id: str | None
    refs: Mapping[str, str]
    object_format: Literal["sha1", "sha256"]

    def lines(self) -> Iterator[tuple[str, str]]:
        """Yield names and ids as a bundle lists them: HEAD last, unless it is unborn."""
        yield from self.refs.items()
        if self.head_id:
            yield HEAD, self.head_id


def refs_of(shown: StandIn, form: Format) -> Refs:
    """Return the refs of a repository. Raises RepositoryRefused if git cannot read one of them, and GitFailed."""
    found, words = _listed(shown)
    if not form.reftable:
        _all_of_the_files(shown, found, words)
    name, head_id = _head(shown, form)
    if name is not None:
        head_id = found.get(name)
        if head_id is None and shown.ask("check-ref-format", name)[0]:
            raise RepositoryRefused(f"{shown.repository}/HEAD names no possible ref. Let it name the default branch.")
    return Refs(name, head_id, found, "sha256" if form.sha256 else "sha1")


def moved(shown: StandIn, form: Format, before: Refs) -> list[str]:
    """Return the names of the refs that have changed since a moment, sorted; HEAD also if it names another ref."""
    changed = []
    gone = set(before.refs)
    head, head_id = _head(shown, form)
    with shown.call(*_LIST) as call:
        for name, object_id in _lines(shown, call):
            if before.refs.get(name) != object_id:
                changed.append(name)
            if name == head:
                head_id = object_id
            gone.discard(name)
    return sorted([*changed, *gone, *[HEAD] * ((head, head_id) != (before.head, before.head_id))])


def checked(repository: Path) -> None:
    """Raise RepositoryRefused if a repository has a link or special file where refs are, or no place for refs."""
    if not (repository / "refs").is_dir():
        raise RepositoryRefused(f"{repository} is not a git repository: it has no folder refs. Restore it.")
    regular(repository / "packed-refs")
    for part in ("refs", "reftable"):
        for _ in walk(repository / part):
            pass


def _listed(shown: StandIn) -> tuple[dict[str, str], str]:
    """Return what git lists, and its words about it."""
    with shown.call(*_LIST) as call:
        return dict(_lines(shown, call)), call.said()


def _lines(shown: StandIn, call: Call) -> Iterator[tuple[str, str]]:
    """Yield the name and the id of each ref that git lists."""
    for line in call.lines():
        object_id, _, name = line.partition(b" ")
        yield _text(name), object_id.decode()
    if call.end():
        raise RepositoryRefused(
            f"git cannot list the refs of {shown.repository}{call.said()}. Repair the repository, or restore it."
        )


def _all_of_the_files(shown: StandIn, found: Mapping[str, str], words: str) -> None:
    """Compare what git has listed with the files: git leaves out a ref that it cannot read, and succeeds.

    A symbolic ref to nothing has no object, and is left out rightly.
    """
    with reading(shown.repository):
        missing = {name for name in _files(shown.repository) if name not in found}
        if missing:
            now, words = _listed(shown)  # some of them may be new
            missing = {name for name in _files(shown.repository) if name in missing and name not in now}
    broken = sorted(missing)
    if len(broken) <= MOST_SYMBOLIC:
        broken = [name for name in broken if shown.ask("symbolic-ref", "-q", name)[0]]
    if broken:
        names = broken[:MOST_SHOWN] + ["..."] * (len(broken) > MOST_SHOWN)
        raise RepositoryRefused(
            f"git cannot read {len(broken)} refs of {shown.repository} ({', '.join(map(ascii, names))}){words}. "
            "Restore them, or delete them if they are not needed."
        )


def _files(repository: Path) -> Iterator[str]:
    """Yield the refs that are lines of `packed-refs` or files, some of them twice."""
    if regular(repository / "packed-refs"):
        with (repository / "packed-refs").open("rb") as lines:
            for line in iter(lambda: lines.readline(LONGEST_LINE), b""):
                if not line.startswith((b"#", b"^")):  # a comment; what the tag in the line before refers to
                    yield _text(line.rstrip(b"\n").partition(b" ")[2])
    for entry in walk(repository / "refs"):
        name = entry.path[len(str(repository)) + 1 :]
        if not name.endswith(".lock") and "/." not in name:  # Git skips both: it writes *.lock beside a ref
            yield _text(os.fsencode(name))


def _head(shown: StandIn, form: Format) -> tuple[str | None, str | None]:
    """Return the ref that HEAD names, or else the object."""
    if form.reftable:
        code, name, _ = shown.ask("symbolic-ref", "-q", HEAD)
        if code == 0:
            return _text(name.strip()), None
        code, object_id, _ = shown.ask("rev-parse", "-q", "--verify", HEAD)
        return None, object_id.strip().decode() or None
    content = (shown.folder / HEAD).read_bytes()
    if symbolic := _SYMBOLIC.fullmatch(content):
        return _text(symbolic[1]), None
    if _DETACHED.fullmatch(content.strip()):
        return None, content.strip().decode()
    raise RepositoryRefused(f"{shown.repository}/HEAD names neither a ref nor an object. Restore the repository.")


def _text(name: bytes) -> str:
    """Return the name of a ref as text; bytes that are not UTF-8 are kept as surrogates."""
    return name.decode("utf-8", "surrogateescape")
