"""The whole way of odd values: from the database into the published archive, and past its check."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from archives import read_archive
from runs import context, merge, path_of, started, work

from project_export.archive.manifest import Manifest
from project_export.archive.verify import Report, verify

Export = Callable[..., Path]


@pytest.fixture
def export(tmp_path: Path) -> Export:
    """Export project 1 of a database by a tree, and return where its archive lies."""

    def export(source: str, tree: str | Path = "gitlab") -> Path:
        ctx = context(source, f"sqlite:///{tmp_path}/ledger.sqlite", tmp_path / "store", tree=str(tree), units=1)
        created = started(ctx)
        assert work(ctx, created) == []
        return path_of(merge(ctx, created))

    return export


def checked(archive: Path) -> Report:
    return verify(archive, Manifest.from_json(archive.with_name("project.manifest.json").read_bytes()))


def test_years_before_christ_leave_as_rails_writes_them_and_are_no_problem(generated_copy: str, export: Export) -> None:
    with psycopg.connect(generated_copy) as conn:
        conn.execute("UPDATE releases SET updated_at = '0044-03-15 12:00:00.1239 BC' WHERE project_id = 1")
        conn.execute("UPDATE issues SET due_date = '0001-02-29 BC' WHERE project_id = 1")
    archive = export(generated_copy)
    records = read_archive(archive)
    assert {release["updated_at"] for release in records["releases"]} == {"-0043-03-15T12:00:00.123Z"}
    assert {issue["due_date"] for issue in records["issues"]} == {"0000-02-29"}
    assert checked(archive).problems == ()
