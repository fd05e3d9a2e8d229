"""What holds whatever went wrong: the standing assertions of every fault, and the export that nothing disturbed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from archives import read_archive
from runs import assert_equal, context, files, merge, path_of, started, wait_until, work

from project_export.archive.manifest import Manifest
from project_export.archive.verify import verify

REPO = Path(__file__).resolve().parents[2]
GONE_SECONDS = 20


class Undisturbed:
    """Exports projects of a source by one unit, undisturbed; what a disturbed export gives has to be the same.

    facts: a folder whose tools check archives once more; None where there is none.
    """

    def __init__(self, source: str, folder: Path, facts: Path | None) -> None:
        self._source = source
        self._folder = folder
        self._facts = facts
        self._archives: dict[tuple[int, tuple[str, ...]], Path] = {}

    def archive(self, project_id: int, *relations: str) -> Path:
        """Return the archive; it is made at the first time."""
        key = (project_id, relations)
        if key not in self._archives:
            run_id = f"undisturbed/{len(self._archives)}"
            ctx = context(self._source, f"sqlite:///{self._folder}/ledger.sqlite", self._folder, units=1)
            created = started(ctx, *relations, project_id=project_id, run_id=run_id)
            assert work(ctx, created) == []
            self._archives[key] = path_of(merge(ctx, created))
            ctx.ledger.close()
        return self._archives[key]

    def assert_same(self, archive: Path, project_id: int, *relations: str) -> Manifest:
        """Hold an archive against the undisturbed one and verify it in every way there is; return its manifest."""
        manifest = assert_verified(archive)
        assert len({part.generation for relation in manifest.relations for part in relation.parts}) == 1
        other = self.archive(project_id, *relations)
        assert_equal(read_archive(archive), read_archive(other))
        if self._facts is not None:
            partial = ["--partial"] if relations else []
            self._tool("check_archive.py", "--strict", *partial, str(archive))
            self._tool("diff_exports.py", str(other), str(archive))
        return manifest

    def _tool(self, name: str, *arguments: str) -> None:
        assert self._facts is not None
        command = [sys.executable, str(self._facts / "tools" / name), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def assert_verified(archive: Path) -> Manifest:
    """Hold that an archive is what its manifest says, and return that."""
    manifest = Manifest.from_json(archive.with_name("project.manifest.json").read_bytes())
    assert verify(archive, manifest).problems == ()
    return manifest


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def kept(archive: Path) -> Iterator[None]:
    """Hold that an archive is there, byte for byte, when the block ends."""
    before = digest(archive)
    yield
    assert digest(archive) == before, f"{archive} is not what it was"


def assert_nothing_left(source: str, store: Path) -> None:
    """Hold that no session, and with them no transaction and no lock, is left on a source, and no temporary file."""
    wait_until(lambda: not sessions(source), GONE_SECONDS)
    assert [name for name in files(store) if name.endswith(".tmp") or ".probe" in name] == []


def sessions(source: str) -> list[tuple[str, str]]:
    """Return name and state of the sessions of exports on a source."""
    with psycopg.connect(source) as conn:
        query = (
            "SELECT application_name, state FROM pg_stat_activity"
            " WHERE datname = %s AND starts_with(application_name, 'project_export')"
        )
        return list(conn.execute(query, [conn.info.dbname]))


def shell_export(
    source: str, out: Path, *arguments: str, limit: str = "", **settings: str
) -> subprocess.CompletedProcess[str]:
    """Export project 1 by the shell's command, to its end.

    limit: arguments of ulimit. settings: of the environment, without their prefix, in small letters.
    """
    others = {name: value for name, value in os.environ.items() if not name.startswith("PROJECT_EXPORT_")}
    defaults = {"gitlab_version": "18.6.0", "gitlab_revision": "0123456789a", "unit_cost": "1"}
    mine = {f"PROJECT_EXPORT_{name.upper()}": value for name, value in {**defaults, **settings}.items()}
    command = [sys.executable, "-c", "from project_export.cli import app; app()", "export", "--project-id", "1"]
    command += ["--source", source, "--out", str(out), *arguments]
    limited = ["sh", "-c", f'ulimit {limit} && exec "$@"', "sh", *command] if limit else command
    environment = {**others, **mine, "PYTHONPATH": str(REPO / "include")}
    return subprocess.run(limited, env=environment, capture_output=True, text=True, timeout=120, check=False)


def archive_of(done: subprocess.CompletedProcess[str]) -> Path:
    """Return the archive that an export by the shell names in its last line."""
    assert done.returncode == 0, done.stdout + done.stderr
    return Path(done.stdout.splitlines()[-1].removeprefix("archive: "))
