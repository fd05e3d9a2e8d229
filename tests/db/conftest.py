"""Databases that have the sample's schema: made once, then copied, which is much quicker."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from dev.postgres import Server
from project_export.sample import schema
from project_export.sample.generate import generate
from project_export.tree import load
from tests import specimen


@pytest.fixture(scope="session")
def schema_template(server: Server) -> Iterator[str]:
    """The name of a database with nothing but the schema; nothing may be connected to it."""
    name = f"schema_{uuid.uuid4().hex}"
    with psycopg.connect(server.create_database(name)) as conn:
        schema.create(conn)
    yield name
    server.drop_database(name)


@pytest.fixture
def sample_database(server: Server, schema_template: str) -> Iterator[str]:
    """A fresh database with the sample's schema and no rows, as a libpq URI; it is dropped after the test."""
    name = f"test_{uuid.uuid4().hex}"
    yield _copy(server, schema_template, name)
    server.drop_database(name)


@pytest.fixture(scope="session")
def generated_template(server: Server, schema_template: str) -> Iterator[str]:
    """The name of a database with two small generated projects; nothing may be connected to it."""
    name = f"generated_{uuid.uuid4().hex}"
    with psycopg.connect(_copy(server, schema_template, name)) as conn:
        generate(conn, 2, 0.3)
    yield name
    server.drop_database(name)


@pytest.fixture(scope="session")
def generated(server: Server, generated_template: str) -> Iterator[str]:
    """A database with two small generated projects that no test may change, as a libpq URI."""
    name = f"test_{uuid.uuid4().hex}"
    yield _copy(server, generated_template, name)
    server.drop_database(name)


@pytest.fixture
def generated_copy(server: Server, generated_template: str) -> Iterator[str]:
    """A fresh database with two small generated projects, as a libpq URI; it is dropped after the test."""
    name = f"test_{uuid.uuid4().hex}"
    yield _copy(server, generated_template, name)
    server.drop_database(name)


@pytest.fixture(scope="session")
def specimen_template(server: Server, schema_template: str) -> Iterator[str]:
    """The name of a database with the specimen, as which a test has to leave it; nothing may stay connected."""
    name = f"specimen_{uuid.uuid4().hex}"
    specimen.write(_copy(server, schema_template, name), load("gitlab"))
    yield name
    server.drop_database(name)


@pytest.fixture
def specimen_copy(server: Server, specimen_template: str) -> Iterator[str]:
    """A fresh copy of the specimen, as a libpq URI; it is dropped after the test."""
    name = f"test_{uuid.uuid4().hex}"
    yield _copy(server, specimen_template, name)
    server.drop_database(name)


@pytest.fixture
def role(server: Server) -> Iterator[str]:
    """A role without rights, for sessions with `-c role=`. To be asked for before a database where it gets some."""
    name = f"role_{uuid.uuid4().hex}"
    with psycopg.connect(server.uri(), autocommit=True) as conn:
        conn.execute(SQL("CREATE ROLE {}").format(Identifier(name)))
    yield name
    with psycopg.connect(server.uri(), autocommit=True) as conn:
        conn.execute(SQL("DROP ROLE {}").format(Identifier(name)))


def _copy(server: Server, template: str, name: str) -> str:
    with psycopg.connect(server.uri(), autocommit=True) as conn:
        conn.execute(SQL("CREATE DATABASE {} TEMPLATE {}").format(Identifier(name), Identifier(template)))
    return server.uri(name)
