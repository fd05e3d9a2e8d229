"""The memory of an export of large files: that of our processes, and apart from it that of git."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from bench.folder import Folder
from bench.proc import ProgramWatch
from project_export.sample.contents import noise
from project_export.sample.generate import generate
from tests.databases import locations_of
from tests.repositories import git

RELATIONS = "repository,uploads"
GB = 1_000_000_000
LOOSE = 300_000_000
OURS_MB = 200
GIT_MB = 160
"""Without pages of files: git also maps up to 256 MB of packs, and the whole of each loose object that it reads."""
COMMAND = [sys.executable, "-c", "from project_export.cli import app; app()", "export", "--project-id", "1"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_upload_and_a_repository_of_a_gigabyte_need_little_memory(sample_database: str, tmp_path: Path) -> None:
    folder = Folder(sample_database, tmp_path / "files")
    with psycopg.connect(sample_database) as conn:
        generate(conn, 1, 0.1, files=folder.path, large_bytes=GB)
    loose(folder.repository, LOOSE)
    out = tmp_path / "out"
    command = [*COMMAND, "--source", sample_database, "--out", str(out), "--relations", RELATIONS]
    settings = {
        "PROJECT_EXPORT_LOCATIONS": locations_of(folder.path),
        "PROJECT_EXPORT_GITLAB_VERSION": "18.6.0",
        "PROJECT_EXPORT_GITLAB_REVISION": "0123456789a",
    }
    with (
        subprocess.Popen(command, env=os.environ | settings, stderr=subprocess.PIPE) as process,
        ProgramWatch(process.pid) as watch,
    ):
        _, errors = process.communicate()
    assert process.returncode == 0, errors
    (archive,) = out.rglob("project.tar.gz")
    assert archive.stat().st_size > 2 * GB + LOOSE
    del watch.peaks["git"]
    assert max(watch.peaks.values()) < OURS_MB
    assert watch.private["git"] < GIT_MB


def loose(repository: Path, size: int) -> None:
    """Add a loose object that cannot be compressed, and a tag of it."""
    file = repository / "large"
    with file.open("wb") as out:
        out.writelines(noise("loose", size))
    git("update-ref", "refs/tags/loose", git("hash-object", "-w", file, at=repository), at=repository)
    file.unlink()
