"""A project is found by its id or by what people call it, without a scan."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from project_export.source import Limits, Session
from project_export.source.title import find
from project_export.tree import load
from tests import library

GITLAB = load("gitlab")
PATH = "acme/tools/project-1"


@pytest.fixture
def session(generated: str) -> Iterator[Session]:
    with Session(lambda: psycopg.connect(generated), "find", Limits()) as session:
        yield session


@pytest.mark.parametrize("wanted", ["1", "01", PATH, PATH.upper()])
def test_a_project_is_found_by_id_and_by_path_in_any_case(session: Session, wanted: str) -> None:
    assert find(session, GITLAB, wanted) == (1, PATH)


@pytest.mark.parametrize(
    "wanted", ["", "0", "999", "9" * 30, "acme/tools", "acme", "acme/tools/project-1/x", "%", "a'b", '"', "-1", "²"]
)
def test_nothing_else_is_found_and_nothing_is_a_pattern(session: Session, wanted: str) -> None:
    assert find(session, GITLAB, wanted) is None


def test_a_path_whose_project_is_gone_is_not_found(generated_copy: str) -> None:
    with psycopg.connect(generated_copy) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("DELETE FROM projects WHERE id = 1")
    with Session(lambda: psycopg.connect(generated_copy), "find", Limits()) as session:
        assert find(session, GITLAB, PATH) is None


def test_a_tree_without_titles_finds_by_id_only(database: str, tmp_path: Path) -> None:
    library.fill(database)
    tree = load(str(library.write_tree(tmp_path)))
    with Session(lambda: psycopg.connect(database), "find", Limits()) as session:
        assert find(session, tree, "7") == (7, "")
        assert find(session, tree, "8") is None
        assert find(session, tree, "Town <library> & more") is None
