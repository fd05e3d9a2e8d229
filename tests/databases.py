"""The databases of tests: each is created here, most as copies of a template, which is much quicker than filling them.

A template is made once per worker. All fixtures give libpq URIs.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Identifier

from dev.postgres import Server
from project_export.sample import schema
from project_export.sample.generate import generate
from project_export.tree import load
from tests import specimen

NewDatabase = Callable[..., str]


class Databases:
    """Creates databases on the server of the test run."""

    def __init__(self, server: Server) -> None:
        self._server = server

    @contextmanager
    def new(self, template: str = "", *, encoding: str = "") -> Iterator[str]:
        """Create a database and yield its URI; at the end drop it, with all sessions on it.

        template: the URI of a database to copy, which nobody may be connected to. encoding: of an empty database.
        """
        name = f"test_{uuid.uuid4().hex}"
        copied = str(conninfo_to_dict(template)["dbname"]) if template else ""
        try:
            yield self._server.create_database(name, template=copied, encoding=encoding)
        finally:
            self._server.drop_database(name)


@pytest.fixture(scope="session")
def databases(server: Server) -> Databases:
    """What creates databases, for fixtures that keep one for several tests, and for tests that need several."""
    return Databases(server)


@pytest.fixture
def new_database(databases: Databases) -> Iterator[NewDatabase]:
    """Create a database as `Databases.new` does, and drop it after the test."""
    with ExitStack() as stack:
        yield lambda *arguments, **options: stack.enter_context(databases.new(*arguments, **options))


@pytest.fixture
def database(databases: Databases) -> Iterator[str]:
    """A fresh, empty database."""
    with databases.new() as uri:
        yield uri


@pytest.fixture(scope="session")
def schema_template(databases: Databases) -> Iterator[str]:
    """A database with nothing but the sample's schema, to be copied."""
    with databases.new() as uri:
        with psycopg.connect(uri) as conn:
            schema.create(conn)
        yield uri


@pytest.fixture
def sample_database(databases: Databases, schema_template: str) -> Iterator[str]:
    """A fresh database with the sample's schema and no rows."""
    with databases.new(schema_template) as uri:
        yield uri


@pytest.fixture(scope="session")
def generated_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the repositories and files of the generated projects."""
    return tmp_path_factory.mktemp("generated") / "files"


@pytest.fixture(scope="session")
def generated_template(databases: Databases, schema_template: str, generated_files: Path) -> Iterator[str]:
    """A database with two small generated projects, to be copied."""
    with databases.new(schema_template) as uri:
        with psycopg.connect(uri) as conn:
            generate(conn, 2, 0.3, files=generated_files)
        yield uri


@pytest.fixture(scope="session")
def generated_locations(generated_template: str, generated_files: Path) -> str:
    """The setting that says where the repositories and files of the generated projects are."""
    return locations_of(generated_files)


def locations_of(files: Path) -> str:
    """Return the setting for a sample whose repositories and files are in this folder."""
    folders = {"repositories": "repositories", "uploads": "uploads", "lfs_objects": "lfs-objects"}
    return ", ".join(f"{name}={files / folder}" for name, folder in folders.items())


@pytest.fixture(scope="session")
def generated(databases: Databases, generated_template: str) -> Iterator[str]:
    """A database with two small generated projects that no test may change."""
    with databases.new(generated_template) as uri:
        yield uri


@pytest.fixture
def generated_copy(databases: Databases, generated_template: str) -> Iterator[str]:
    """A fresh database with two small generated projects."""
    with databases.new(generated_template) as uri:
        yield uri


@pytest.fixture(scope="session")
def specimen_template(databases: Databases, schema_template: str) -> Iterator[str]:
    """A database with the specimen. A test may connect to it; it has to disconnect and to undo its changes."""
    with databases.new(schema_template) as uri:
        specimen.write(uri, load("gitlab"))
        yield uri


@pytest.fixture
def specimen_copy(databases: Databases, specimen_template: str) -> Iterator[str]:
    """A fresh database with the specimen."""
    with databases.new(specimen_template) as uri:
        yield uri


@pytest.fixture
def role(server: Server) -> Iterator[str]:
    """A role without rights, for sessions with `-c role=`. To be asked for before a database where it gets some."""
    name = f"role_{uuid.uuid4().hex}"
    with psycopg.connect(server.uri(), autocommit=True) as conn:
        conn.execute(SQL("CREATE ROLE {}").format(Identifier(name)))
    yield name
    with psycopg.connect(server.uri(), autocommit=True) as conn:
        conn.execute(SQL("DROP ROLE {}").format(Identifier(name)))
