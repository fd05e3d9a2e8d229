"""Hostile, broken and odd repositories as data: what is done to a whole one, and how reading it must end."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.repositories import commit, git, loose, refs

OUTSIDE, POOL = "outside.git", "@pools/ab/cd/abcd.git"
NOWHERE = "1" * 40
ROOT = os.geteuid() == 0
HOOKS = (
    "pre-auto-gc",
    "post-update",
    "reference-transaction",
    "fsmonitor-watchman",
    "post-index-change",
    "pre-receive",
)


@dataclass(frozen=True)
class Place:
    """A storage with a repository. canary: a program that must not be run. pool, outside: other repositories."""

    storage: Path
    path: Path
    canary: Path

    @property
    def pool(self) -> Path:
        return self.storage / POOL

    @property
    def outside(self) -> Path:
        return self.storage.parent / OUTSIDE

    def configure(self, text: str) -> None:
        """Add to the configuration of the repository; CANARY: the program."""
        with (self.path / "config").open("a") as file:
            file.write(text.replace("CANARY", str(self.canary)))

    def borrow(self, *lines: str) -> None:
        """Let the repository have its objects from elsewhere only: the lines of its alternates."""
        objects = self.path / "objects"
        shutil.rmtree(objects)
        (objects / "info").mkdir(parents=True)
        (objects / "info" / "alternates").write_text("".join(f"{line}\n" for line in lines))

    def link(self, name: str) -> None:
        """Replace a file or folder of the repository by a link to it."""
        moved = self.storage.parent / "moved"
        (self.path / name).rename(moved)
        (self.path / name).symlink_to(moved)

    def fifo(self, name: str) -> None:
        """Replace a file of the repository by a FIFO."""
        (self.path / name).unlink(missing_ok=True)
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(self.path / name)

    def write(self, name: str, content: str) -> None:
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_text(content)

    def main(self) -> str:
        return refs(self.path)["refs/heads/main"]

    def blob(self) -> Path:
        """The file of the blob in the branch main."""
        return loose(self.path, git("rev-parse", "refs/heads/main:file", at=self.path))


@dataclass(frozen=True)
class Break:
    """A repository. refused: what RepositoryRefused says, None where the bundle is whole and has all refs."""

    name: str
    spoil: Callable[[Place], object]
    refused: str | None = None


PROMISOR = """
[protocol "ext"]
    allow = always
[remote "origin"]
    promisor = true
    url = ext::CANARY
"""
PROGRAMS = """
[alias]
    for-each-ref = !CANARY
    pack-objects = !CANARY
    config = !CANARY
[core]
    fsmonitor = CANARY
    sshCommand = CANARY
    alternateRefsCommand = CANARY
    hooksPath = HOOKS
    pager = CANARY
    editor = CANARY
    askPass = CANARY
    gitProxy = CANARY
    worktree = /
    bare = false
[credential]
    helper = !CANARY
[diff]
    external = CANARY
[diff "text"]
    textconv = CANARY
    command = CANARY
[filter "clean"]
    process = CANARY
    clean = CANARY
    smudge = CANARY
    required = true
[gpg]
    program = CANARY
[pager]
    for-each-ref = CANARY
    pack-objects = CANARY
[uploadpack]
    packObjectsHook = CANARY
[trace2]
    eventTarget = |CANARY
"""


def _promisor(place: Place) -> None:
    place.configure(PROMISOR)
    place.blob().unlink()


def _partial(place: Place) -> None:
    place.configure("[core]\nrepositoryFormatVersion = 1\n[extensions]\npartialClone = origin\n" + PROMISOR)
    place.blob().unlink()


def _included(place: Place) -> None:
    place.write("more", PROMISOR.replace("CANARY", str(place.canary)))
    place.configure("[include]\npath = more\n")
    place.blob().unlink()


def _including_a_fifo(place: Place) -> None:
    place.fifo("pipe")
    place.configure("[include]\npath = pipe\n")


def _remains(place: Place) -> None:
    place.write("refs/heads/x.lock", "")
    place.write("refs/heads/.x", "x")


def _programs(place: Place) -> None:
    place.configure(PROGRAMS.replace("HOOKS", str(place.path / "hooks")))
    place.write("info/attributes", "* diff=text filter=clean\n")
    for name in HOOKS:
        place.write(f"hooks/{name}", f"#!/bin/sh\nexec {place.canary}\n")
        (place.path / "hooks" / name).chmod(0o755)


def _redirected(place: Place) -> None:
    """A file that names another git dir: git would read refs and configuration there."""
    git("update-ref", "refs/heads/secret", refs(place.outside)["refs/heads/main"], at=place.outside)
    place.write("commondir", f"{place.outside}\n")


def _worktree(place: Place) -> None:
    place.write("worktrees/one/HEAD", f"{NOWHERE}\n")
    place.write("worktrees/one/commondir", "../..\n")
    place.write("worktrees/one/gitdir", "/nonexistent/.git\n")


def _grafted(place: Place) -> None:
    """Files that show another history than the objects have."""
    place.write("info/grafts", f"{place.main()}\n")
    place.write("objects/info/commit-graph", "damaged")
    git("repack", "-adq", "--write-midx", "--write-bitmap-index", at=place.path)
    for file in (*place.path.glob("objects/pack/*.bitmap"), place.path / "objects/pack/multi-pack-index"):
        file.chmod(0o644)
        file.write_bytes(file.read_bytes()[:-40] + b"\0" * 40)


def _forged(place: Place) -> None:
    """An index of the history (gitformat-commit-graph) in which no commit has a parent."""
    git("commit-graph", "write", "--reachable", at=place.path)
    file = place.path / "objects" / "info" / "commit-graph"
    content = bytearray(file.read_bytes()[:-20])
    table = {bytes(content[at : at + 4]): int.from_bytes(content[at + 4 : at + 12], "big") for at in range(8, 100, 12)}
    for parent in range(table[b"CDAT"] + 20, table[b"CDAT"] + 4 * 36, 36):
        content[parent : parent + 4] = (0x70000000).to_bytes(4, "big")
    file.chmod(0o644)
    file.write_bytes(bytes(content) + hashlib.sha1(content).digest())


def _replaced(place: Place) -> None:
    other = commit(place.path, b"other")
    git("replace", "--force", place.main(), other, at=place.path)


def _cycle(place: Place) -> None:
    place.borrow("../../../../../@pools/ab/cd/abcd.git/objects")
    (place.pool / "objects" / "info").mkdir(exist_ok=True)
    (place.pool / "objects" / "info" / "alternates").write_text(f"{place.path}/objects\n")


def _chain(place: Place) -> None:
    """Seven pools that borrow from each other."""
    last = place.pool
    for number in range(7):
        info = place.storage / "@pools" / str(number) / "objects" / "info"
        info.mkdir(parents=True)
        (info / "alternates").write_text(f"{last}/objects\n")
        last = info.parents[1]
    place.borrow(f"{last}/objects")


def _linked_pool(place: Place) -> None:
    (place.storage / "@pools" / "link").symlink_to(place.outside)
    place.borrow("../../../../../@pools/link/objects")


def _part_of_a_pack(place: Place) -> None:
    git("repack", "-adq", at=place.path)
    pack = next(place.path.glob("objects/pack/*.pack"))
    pack.chmod(0o644)
    pack.write_bytes(pack.read_bytes()[:-60])


def _damaged_pack(place: Place) -> None:
    git("repack", "-adq", at=place.path)
    pack = next(place.path.glob("objects/pack/*.pack"))
    content = bytearray(pack.read_bytes())
    content[40] ^= 0xFF
    pack.chmod(0o644)
    pack.write_bytes(content)


def _damaged_object(place: Place) -> None:
    file = place.blob()
    file.chmod(0o644)
    file.write_bytes(b"\xff" * 20)


def _packed_null(place: Place) -> None:
    git("pack-refs", "--all", at=place.path)
    text = (place.path / "packed-refs").read_text()
    place.write("packed-refs", text.replace(f"{place.main()} refs/heads/main", f"{'0' * 40} refs/heads/main"))


def _device(place: Place) -> None:
    (place.path / "HEAD").unlink()
    os.mknod(place.path / "HEAD", stat.S_IFCHR | 0o600, os.makedev(1, 3))


def _foreign(place: Place) -> None:
    for path in (place.path, *place.path.rglob("*")):
        os.chown(path, 4321, 4321)


LINK = "is a link, a device or another special file"
UNREADABLE_REFS = r"cannot read 1 refs of .*refs/heads/x"

BREAKS = [
    Break("a promisor that is a program, and a missing blob", _promisor, "git cannot read .* whole: fatal: .*fsck"),
    Break("a partial clone", _partial, "whole: .* It is a partial clone"),
    Break("a promisor in an included file", _included, "git cannot read .* whole"),
    Break("every program that git knows, and hooks", _programs),
    Break("a configuration that includes a FIFO", _including_a_fifo),
    Break("a configuration that cannot be parsed", lambda p: p.configure("[core\n"), "the configuration of .*: fatal"),
    Break("no configuration", lambda p: (p.path / "config").unlink()),
    Break("a configuration that is a link", lambda p: p.link("config"), f"/config {LINK}"),
    Break("a configuration that is a FIFO", lambda p: p.fifo("config"), f"/config {LINK}"),
    Break("a configuration without end", lambda p: p.configure("#" * (2 << 20)), "more than 1048576 bytes"),
    Break("the format of the future", lambda p: p.configure("[core]\nrepositoryFormatVersion = 2\n"), "version = '2'"),
    Break("an unknown extension", lambda p: p.configure("[extensions]\nmagic = CANARY\n"), "magic = '/"),
    Break(
        "ids of another length than it says",
        lambda p: p.configure("[core]\nrepositoryFormatVersion = 1\n[extensions]\nobjectFormat = sha256\n"),
        "refs",
    ),
    Break("a file that redirects to another git dir", _redirected),
    Break("a broken worktree", _worktree),
    Break("grafts, and damaged indexes of the history", _grafted),
    Break("a replaced commit", _replaced),
    Break("a forged index of the history", _forged),
    Break("alternates outside the root", lambda p: p.borrow(f"{p.outside}/objects"), "outside the storage root"),
    Break("alternates above the root", lambda p: p.borrow("../../../../../../outside.git/objects"), "outside the st"),
    Break("alternates behind a link", _linked_pool, "/link is a link or a file"),
    Break("quoted alternates", lambda p: p.borrow(f'"{p.pool}/objects"'), "has a quoted path"),
    Break("alternates that are a FIFO", lambda p: p.fifo("objects/info/alternates"), f"alternates {LINK}"),
    Break("a missing pool", lambda p: p.borrow("../../../../../@pools/none/objects"), "/@pools/none/objects, which do"),
    Break("a missing pool that is not needed", lambda p: p.write("objects/info/alternates", f"{p.pool}/none\n")),
    Break("an absolute pool", lambda p: p.borrow(f"{p.pool}/objects")),
    Break("pools in a circle", _cycle),
    Break("a long chain of pools", _chain, "more than 5 pools"),
    Break("HEAD is a link", lambda p: p.link("HEAD"), f"/HEAD {LINK}"),
    Break("HEAD is a FIFO", lambda p: p.fifo("HEAD"), f"/HEAD {LINK}"),
    Break("no HEAD", lambda p: (p.path / "HEAD").unlink(), "it has no HEAD"),
    Break("HEAD names a file elsewhere", lambda p: p.write("HEAD", "ref: refs/../../../etc/passwd\n"), "no possible"),
    Break("HEAD is a text", lambda p: p.write("HEAD", "root:x:0:0\n"), "git cannot list the refs|names neither"),
    Break("HEAD names nothing that exists", lambda p: p.write("HEAD", f"{NOWHERE}\n"), "git cannot read .* whole"),
    Break("refs is a link", lambda p: p.link("refs"), f"/refs {LINK}"),
    Break("a folder of refs is a link", lambda p: p.link("refs/heads"), f"refs/heads {LINK}"),
    Break("a ref is a link", lambda p: p.link("refs/heads/main"), f"refs/heads/main {LINK}"),
    Break("a ref is a FIFO", lambda p: p.fifo("refs/heads/main"), f"refs/heads/main {LINK}"),
    Break("packed-refs is a FIFO", lambda p: p.fifo("packed-refs"), f"/packed-refs {LINK}"),
    Break("no refs", lambda p: shutil.rmtree(p.path / "refs"), "it has no folder refs"),
    Break("objects is a link", lambda p: p.link("objects"), f"/objects {LINK}"),
    Break("a folder of objects is a link", lambda p: p.link(f"objects/{p.main()[:2]}"), f"objects/.. {LINK}"),
    Break("an object is a link", lambda p: p.link(str(p.blob().relative_to(p.path))), f"objects/../.* {LINK}"),
    Break("a pack is a FIFO", lambda p: p.fifo("objects/pack/pack-1.pack"), f"pack-1.pack {LINK}"),
    Break("no objects", lambda p: shutil.rmtree(p.path / "objects"), "git cannot list the refs of .*: fatal"),
    Break("shallow", lambda p: p.write("shallow", f"{p.main()}\n"), "is shallow: its history is cut off"),
    Break("a file `shallow` without commits", lambda p: p.write("shallow", "")),
    Break("a file `shallow` that is a FIFO", lambda p: p.fifo("shallow"), f"/shallow {LINK}"),
    Break("a dangling ref", lambda p: p.write("refs/heads/x", f"{NOWHERE}\n"), "missing object 1* for refs/heads/x"),
    Break("a missing commit", lambda p: loose(p.path, p.main()).unlink(), "for refs/heads/main"),
    Break("a missing blob", lambda p: p.blob().unlink(), "git cannot read .* whole: .*fsck"),
    Break("a damaged object", _damaged_object, "git cannot read .* whole: .*fsck"),
    Break("a pack that is cut short", _part_of_a_pack, "git cannot read .* whole: .*fsck"),
    Break("a damaged pack", _damaged_pack, "git cannot read .* whole: .*fsck"),
    Break("an empty ref", lambda p: p.write("refs/heads/x", ""), UNREADABLE_REFS),
    Break("a ref that is a text", lambda p: p.write("refs/heads/x", "root:x:0:0\n"), UNREADABLE_REFS),
    Break("a ref to nothing", lambda p: p.write("refs/heads/x", "0" * 40 + "\n"), UNREADABLE_REFS),
    Break("a packed ref to nothing", _packed_null, "refs/heads/main"),
    Break("a ref with an impossible name", lambda p: p.write("refs/heads/x..y", f"{p.main()}\n"), "refs/heads/x..y"),
    Break("packed-refs that are a text", lambda p: p.write("packed-refs", "root:x\n"), "git cannot list the refs"),
    Break("a symbolic ref to nothing", lambda p: p.write("refs/remotes/origin/HEAD", "ref: refs/heads/none\n")),
    Break("remains of an update", _remains),
    *([Break("a foreign owner", _foreign)] if ROOT else []),
    *([Break("HEAD is a device", _device, f"/HEAD {LINK}")] if ROOT else []),
]  # fmt: skip
