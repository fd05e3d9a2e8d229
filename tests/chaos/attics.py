"""An attic that faults are injected into: a source with large files and repositories, and a git that hangs."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psutil
import pytest

from project_export.archive.manifest import Manifest
from project_export.archive.verify import verify
from project_export.steps import Context, Created
from project_export.tree.load import load_all
from tests.attic import Attic
from tests.chaos.environment import SPAWN
from tests.chaos.invariants import Invariants, digest, path
from tests.chaos.victims import Target
from tests.repositories import empty, git
from tests.runs import context, merge, path_of, started, wait_until, work

MIB = 1 << 20
STORE = "store"
GONE_SECONDS = 5
"""Within which git has to end."""


class FaultyAttic(Attic, Invariants):
    """An attic whose settings are in the environment, also for other processes, with an archive of before any fault."""

    victims: list[BaseProcess]

    @property
    def source(self) -> str:  # type: ignore[override]
        """The DSN of the source."""
        return self.database

    @property
    def ledger_uri(self) -> str:  # type: ignore[override]
        """The DSN of the ledger."""
        return self.ledger_dsn

    @property
    def store(self) -> Path:  # type: ignore[override]
        """The folder of the store."""
        return self.folder / STORE

    @property
    def temporary(self) -> Path:
        """The folder for temporary files, of all processes."""
        return self.folder / "temporary"

    def settle(self, monkeypatch: pytest.MonkeyPatch) -> FaultyAttic:
        """Make everything, and export it once."""
        self.make()
        self.victims = []
        self.sql("UPDATE attics SET diary = 'diary'")
        self.temporary.mkdir(exist_ok=True)
        self.store.mkdir(exist_ok=True)
        monkeypatch.setenv("PROJECT_EXPORT_TREE", str(self.folder / "attic.yaml"))
        monkeypatch.setenv("PROJECT_EXPORT_LOCATIONS", f"boxes={self.boxes}, shelves={self.shelves}")
        monkeypatch.setenv("TMPDIR", str(self.temporary))
        monkeypatch.setattr(tempfile, "tempdir", str(self.temporary))
        diary = empty(self.shelves, "diary.git")
        self.add("a thing", b"in a box")
        self.export(units=1)
        shutil.rmtree(diary)
        return self

    def context(self, **settings: Any) -> Context:
        """Return the steps' context."""
        return context(self.database, self.ledger_dsn, self.store, **settings)

    def process(self, target: Target, created: Created, run_id: str, *arguments: Any) -> BaseProcess:
        """Start one of the `victims` on a job as a process of its own."""
        place = (self.database, self.ledger_dsn, self.store)
        process = SPAWN.Process(target=target, args=(*place, created.job_id, run_id, *arguments))
        process.start()
        self.victims.append(process)
        return process

    def end(self) -> None:
        """Kill the processes that a failed test has not ended."""
        for process in self.victims:
            process.kill()
            process.join()

    def large(self, name: str, megabytes: int) -> None:
        """Add a file of random bytes and its row."""
        hashed = hashlib.sha256()
        with (self.boxes / name).open("wb") as file:
            for _ in range(megabytes):
                block = os.urandom(MIB)
                hashed.update(block)
                file.write(block)
        self.row(name, megabytes * MIB, hashed.hexdigest())

    def undisturbed(self) -> list[tuple[str, int, str]]:  # type: ignore[override]
        """Return the files of an archive that is made elsewhere, without a fault; see `digests`."""
        other = self.folder / "undisturbed"
        other.mkdir(exist_ok=True)
        ctx = context(self.database, f"sqlite:///{other}/ledger.sqlite", other, units=1)
        created = started(ctx, run_id=f"undisturbed/{time.monotonic()}")
        assert work(ctx, created) == []
        found = digests(path_of(merge(ctx, created)))
        ctx.ledger.close()
        return found

    @contextmanager
    def surviving(self, *, published: bool = True, killed: bool = False) -> Iterator[None]:  # type: ignore[override]
        """Hold, when the block ends, what must be so after every fault:

        The archive of before is unchanged, and the one that is offered now is whole. No session, transaction,
        temporary file or git is left. published: a new archive is offered, and is the same as an undisturbed one.
        killed: a process was killed, which leaves its temporary folder to the next one.
        """
        good = self.offered(1)
        yield
        assert digest(path(good)) == good.archive_sha256, f"{good.archive_uri} is not what it was"
        self.assert_nothing_left()
        wait_until(lambda: not self.gits(), GONE_SECONDS)
        assert killed or list(self.temporary.iterdir()) == []
        now = self.offered(1)
        assert digest(path(now)) == now.archive_sha256
        assert (now.id != good.id) == published
        if published:
            manifest = Manifest.from_json(path(now).with_name("project.manifest.json").read_bytes())
            assert verify(path(now), manifest, tree=load_all(str(self.folder / "attic.yaml"))).problems == ()
            assert digests(path(now)) == self.undisturbed()

    def gits(self) -> list[psutil.Process]:
        """Return all processes of git that read this attic's repositories; see `gits`."""
        return gits(self.folder)


def gits(folder: Path) -> list[psutil.Process]:
    """Return all processes of git, and of what it has started, that read repositories below a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("GIT_OBJECT_DIRECTORY", "").startswith(str(folder)):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def digests(archive: Path) -> list[tuple[str, int, str]]:
    """Return name, size and SHA-256 of each file of an archive, in order."""
    found = []
    with tarfile.open(archive, "r|gz") as tar:
        for member in tar:
            file = tar.extractfile(member)
            hashed = hashlib.sha256()
            while file is not None and (block := file.read(MIB)):
                hashed.update(block)
            found.append((member.name, member.size, hashed.hexdigest()))
    return found


def large_repository(root: Path, name: str, megabytes: int, each: int = 64) -> Path:
    """Make a repository with a branch of commits that each add a file of random bytes, and return its path.

    each: the megabytes of a file.
    """
    path = empty(root, name)
    command = ["git", f"--git-dir={path}", "-c", "core.bigFileThreshold=1m", "-c", "core.compression=0"]
    importing = subprocess.Popen([*command, "fast-import", "--quiet"], stdin=subprocess.PIPE)
    stream = importing.stdin
    assert stream is not None
    for number in range(megabytes // each):
        stream.write(f"commit refs/heads/main\ncommitter jane <jane@example.com> {number} +0000\ndata 0\n".encode())
        stream.write(f"M 644 inline {number}\ndata {each * MIB}\n".encode())
        for _ in range(each):
            stream.write(os.urandom(MIB))
        stream.write(b"\n")
    stream.close()
    assert importing.wait() == 0
    git("update-ref", "refs/keep-around/first", "refs/heads/main~1", at=path)
    return path


_HANGING = """\
#!/bin/sh
while command=$(cat {hangs}) && [ -n "$command" ]; do
    case "$*" in
    *"$command"*) sleep 0.1 ;;
    *) break ;;
    esac
done
exec {git} "$@"
"""


class SlowGit:
    """A git on the PATH that hangs, while it is asked to, before it does what it is called for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._hangs = folder / "hangs"
        folder.mkdir()
        program = folder / "git"
        program.write_text(_HANGING.format(hangs=self._hangs, git=shutil.which("git")))
        program.chmod(0o755)
        self._hangs.touch()

    @contextmanager
    def hanging(self, command: str) -> Iterator[None]:
        """Let a command of git hang while the block lasts."""
        self._hangs.write_text(command)
        try:
            yield
        finally:
            self.go_on()

    def go_on(self) -> None:
        """Let git go on."""
        self._hangs.write_text("")


@contextmanager
def small(folder: Path, size: str) -> Iterator[None]:
    """Mount a small file system on a folder while the block lasts, where that is possible. size: such as 48m."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system can only be mounted by root, and not in every container")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def full(folder: Path, left: int = 0) -> Iterator[None]:
    """Fill the file system of a folder but for some bytes while the block lasts."""
    ballast = folder / "ballast"
    try:
        with ballast.open("wb", buffering=0) as file:
            state = os.statvfs(folder)
            os.posix_fallocate(file.fileno(), 0, max(state.f_bavail * state.f_frsize - left, 1))
        yield
    finally:
        ballast.unlink()
