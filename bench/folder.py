"""The data of the benchmark of files: project 1 of a small sample, with a large repository and many uploads.

Both have what is compressed already and what is not, and the repository has packed and loose objects.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg

from bench import PROJECT_ID
from bench.data import kept
from dev.postgres import Server
from project_export.sample import schema
from project_export.sample.contents import lines, noise
from project_export.sample.disk import hashed
from project_export.sample.generate import generate

MB = 1_000_000
COMMITS = 20
"""Commits for each MB of the repository; each changes a text of TEXT_BYTES, and one adds an image."""
TEXTS, TEXT_BYTES = 100, 20_000
UPLOADS = 5
"""Uploads for each MB of small ones: this many logs, and this many images that are nine times as large."""
LOOSE = 20
"""One MB in LOOSE is in loose objects."""
UNPACKED = 1 << 30
"""More objects than an import has."""


@dataclass(frozen=True)
class Folder:
    """The project's database, by its URI, and the folder of its files, as `sample generate` makes it."""

    uri: str
    path: Path

    @property
    def repository(self) -> Path:
        """The project's bare repository."""
        return self.path / "repositories" / f"{hashed('@hashed', PROJECT_ID)}.git"

    @property
    def uploads(self) -> Path:
        """The folder of the project's uploads."""
        return self.path / "uploads" / hashed("@hashed", PROJECT_ID)


def prepare(server: Server, state: Path, megabytes: int) -> Folder:
    """Return the data; make it if it does not exist. megabytes: of the repository, and of the uploads, at least 2."""
    path = state / f"files-{megabytes}"
    return Folder(kept(server, path.name, lambda uri: make(Folder(uri, path), megabytes)), path)


def make(folder: Folder, megabytes: int) -> None:
    """Fill an empty database and a folder; see `prepare`."""
    with psycopg.connect(folder.uri) as conn:
        schema.create(conn)
        generate(conn, 1, 0.1, files=folder.path)
        _upload(conn, folder, megabytes)
    _commit(folder.repository, megabytes)


def _upload(conn: psycopg.Connection[tuple[object, ...]], folder: Folder, megabytes: int) -> None:
    """Add small uploads, logs and images, with half of the bytes, and one large upload with the other half."""
    rows = []
    for name, content in _contents(megabytes):
        secret = hashlib.sha256(name.encode()).hexdigest()[:32]
        file = folder.uploads / secret / name
        file.parent.mkdir()
        size, digest = 0, hashlib.sha256()
        with file.open("wb") as out:
            for block in content:
                out.write(block)
                digest.update(block)
                size += len(block)
        rows.append((PROJECT_ID, PROJECT_ID, size, digest.hexdigest(), f"{secret}/{name}", secret))
    with conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO uploads (model_id, project_id, size, checksum, path, secret, model_type, uploader)"
            " VALUES (%s, %s, %s, %s, %s, %s, 'Project', 'FileUploader')",
            rows,
        )


def _contents(megabytes: int) -> Iterator[tuple[str, Iterator[bytes]]]:
    each = MB // UPLOADS // 10
    for number in range(megabytes // 2 * UPLOADS):
        yield f"{number}.log", iter([lines(number, each)])
        yield f"{number}.png", noise(number, 9 * each)
    yield "video.mp4", noise("video", megabytes * MB // 2)


def _commit(repository: Path, megabytes: int) -> None:
    """Add commits to a new branch: most of their objects are in one pack, as housekeeping makes it, the last are loose.

    Raises CalledProcessError if git fails.
    """
    packed = megabytes - max(megabytes // LOOSE, 1)
    _import(repository, range(packed), unpacked=1)
    subprocess.run(["git", f"--git-dir={repository}", "repack", "-adq"], check=True)
    _import(repository, range(packed, megabytes), unpacked=UNPACKED)


def _import(repository: Path, megabytes: range, unpacked: int) -> None:
    """Add commits. unpacked: the number of objects below which they become loose ones."""
    options = ("-c", "core.compression=1", "-c", f"fastimport.unpackLimit={unpacked}")
    command = ["git", f"--git-dir={repository}", *options, "fast-import", "--quiet"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        for number in megabytes:
            process.stdin.writelines(_commits(number, number == megabytes[0] > 0))
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)


def _commits(megabyte: int, resumed: bool) -> Iterator[bytes]:
    """Yield commits in the format of `git fast-import`. resumed: whether they continue an earlier import."""
    for number in range(megabyte * COMMITS, (megabyte + 1) * COMMITS):
        place = number % TEXTS
        text = b"changed by commit %d\n" % number + lines(place, TEXT_BYTES)
        yield b"commit refs/heads/benchmark\ncommitter a <a@example.com> %d +0000\n" % (1_700_000_000 + number)
        yield b"data 6\ncommit\n"
        if resumed and number == megabyte * COMMITS:
            yield b"from refs/heads/benchmark^0\n"
        yield b"M 644 inline texts/%d.txt\ndata %d\n%b\n" % (place, len(text), text)
        if number % COMMITS == 0:
            yield b"M 644 inline images/%d.png\ndata %d\n" % (megabyte, MB)
            yield from noise(("image", megabyte), MB)
            yield b"\n"
