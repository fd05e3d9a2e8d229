"""A generated sample with its repositories and files, and what git says about a repository.

Git runs without the configuration of this machine.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from project_export.sample.generate import generate
from tests.databases import Databases

ENVIRONMENT = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "LC_ALL": "C"}


@dataclass(frozen=True)
class Sample:
    """A generated database that no test changes, and the folder of its files.

    Of its projects, `legacy` has repository and uploads below its full path, `legacy_uploads` only its uploads, and
    `empty` has nothing.
    """

    database: str
    folder: Path
    conn: psycopg.Connection[Any]
    projects: int = 6
    legacy: int = 3
    legacy_uploads: int = 5
    empty: int = 6

    @property
    def filled(self) -> list[int]:
        return [number for number in range(1, self.projects + 1) if number != self.empty]

    @property
    def root(self) -> Path:
        return self.folder / "repositories"

    def rows(self, query: str) -> list[Any]:
        return self.conn.execute(query).fetchall()

    def table(self, name: str) -> list[dict[str, Any]]:
        """Return all rows of a table as JSON; bytes as `\\x` and hexadecimal digits."""
        return [row for (row,) in self.conn.execute(SQL("SELECT to_jsonb(t) FROM {} t").format(Identifier(name)))]

    def own(self, project: int, kind: str = "") -> Path:
        """Return the folder of a project's repository; kind: .wiki or .design."""
        path = f"acme/tools/project-{project}" if project == self.legacy else hashed("@hashed", project)
        return self.root / f"{path}{kind}.git"


@pytest.fixture(scope="session")
def sample_on_disk(
    databases: Databases, schema_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sample]:
    """A generated sample of six projects with its files, which no test may change."""
    folder = tmp_path_factory.mktemp("sample")
    with databases.new(schema_template) as database:
        with psycopg.connect(database) as conn:
            generate(conn, Sample.projects, 1, files=folder)
        with psycopg.connect(database, autocommit=True) as conn:
            yield Sample(database, folder, conn)


def hashed(prefix: str, number: int) -> str:
    """Return the disk path of a repository with the hashed layout."""
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    return f"{prefix}/{digest[:2]}/{digest[2:4]}/{digest}"


def git(repository: Path, *arguments: str) -> str:
    """Return what git prints, without the last line break; raise CalledProcessError if it fails."""
    done = subprocess.run(
        ["git", f"--git-dir={repository}", *arguments],
        env=ENVIRONMENT, check=True, capture_output=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return done.stdout.decode("utf-8").removesuffix("\n")


def refs(repository: Path) -> dict[str, str]:
    """Return the id of each ref by its name."""
    listed = git(repository, "for-each-ref", "--format=%(refname) %(objectname)")
    return dict(line.rsplit(" ", 1) for line in listed.splitlines())


def commits(repository: Path) -> set[str]:
    """Return the ids of all commits that refs lead to."""
    return set(git(repository, "rev-list", "--all").split())


def repositories(folder: Path) -> list[Path]:
    """Return all repositories below a folder, sorted."""
    return sorted(path.parent for path in folder.rglob("HEAD"))


def files(folder: Path) -> dict[str, bytes]:
    """Return the content of each file below a folder by its path there; none if there is no folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
