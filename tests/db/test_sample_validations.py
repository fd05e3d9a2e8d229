"""GitLab's models accept all generated rows; with --hostile there are also others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest
import yaml
from psycopg.sql import SQL

from project_export.sample import generate, layouts, schema
from project_export.sample.hostile import kinds
from project_export.sample.writer import Writer
from tests import reader
from tests.databases import Databases
from tests.reader import ruby
from tests.reader.notes import read_position

PROJECTS = 5


class Rule(NamedTuple):
    """A demand, the file of GitLab that states it, and the rows that violate it: the FROM and WHERE of a SELECT."""

    file: str
    demand: str
    rejected: str


RULES = tuple(
    Rule(**rule) for rule in yaml.safe_load(Path(__file__).with_name("validations.yaml").read_text(encoding="utf-8"))
)


@pytest.fixture(scope="module", params=layouts.names())
def accepted(databases, request) -> Iterator[psycopg.Connection]:
    """Generated projects in each layout."""
    yield from generated(databases, request.param, hostile=False)


@pytest.fixture(scope="module")
def hostile(databases) -> Iterator[psycopg.Connection]:
    yield from generated(databases, layouts.DEFAULT, hostile=True)


def generated(databases: Databases, layout: str, hostile: bool) -> Iterator[psycopg.Connection]:
    with databases.new() as database:
        with psycopg.connect(database) as conn:
            schema.create(conn, layout)
            generate.generate(conn, PROJECTS, 1, hostile=hostile)
        with psycopg.connect(database) as conn:
            yield conn


def rejected(conn: psycopg.Connection, rule: Rule) -> int:
    ((count,),) = conn.execute(SQL("SELECT count(*) FROM (SELECT 1 {}) AS rejected").format(SQL(rule.rejected)))
    return count


def test_no_row_violates_a_validation_of_gitlabs_models(accepted):
    broken = {f"{rule.file}: {rule.demand}": rejected(accepted, rule) for rule in RULES}
    assert {demand: count for demand, count in broken.items() if count} == {}


def test_every_position_is_complete_and_has_a_type(accepted):
    seen = set()
    columns = accepted.execute(
        "SELECT position, original_position, change_position FROM notes WHERE type = 'DiffNote'"
    ).fetchall()
    for texts in columns:
        for text in filter(None, texts):
            assert text.startswith("--- !ruby/object:Gitlab::Diff::Position\nattributes:\n  :base_sha: ")
            found = read_position(text)
            assert all(len(found[name]) == 40 for name in ("base_sha", "start_sha", "head_sha"))
            assert found["new_path"]
            assert found["position_type"] != "text" or found["new_line"]
            seen.add((found["position_type"], bool(found.get("line_range"))))
    assert seen == {("text", False), ("text", True), ("image", False), ("file", False)}


def test_every_value_that_is_yaml_is_a_hash(accepted):
    rows = accepted.execute(
        "SELECT merge_params FROM merge_requests UNION SELECT st_diff FROM notes WHERE st_diff IS NOT NULL"
    )
    assert all(isinstance(ruby.read_yaml(text), dict) for (text,) in rows)


def test_hostile_rows_violate_nearly_every_validation(hostile):
    met = {rule.demand for rule in RULES if not rejected(hostile, rule)}
    assert len(RULES) - len(met) >= 45, sorted(met)


def test_hostile_rows_are_among_the_records_that_the_generator_reports(database):
    with psycopg.connect(database) as conn:
        schema.create(conn)
        made = generate.generate(conn, 2, 0.5, hostile=True)
    with psycopg.connect(database) as conn:
        for project in made:
            wanted = ["project_members", "ci_pipelines", "issues"]
            found = reader.read_project(conn, project.id, relations=wanted)
            assert {name: project.records[name] for name in wanted} == {name: len(found[name]) for name in wanted}


@pytest.mark.parametrize("layout", layouts.names())
def test_hostile_rows_fit_every_layout_and_are_always_the_same(layout, new_database):
    found = []
    for _ in range(2):
        with psycopg.connect(new_database()) as conn:
            schema.create(conn, layout)
            generate.generate(conn, 2, 0.1, hostile=True)
            query = "SELECT md5(string_agg(notes::text, '' ORDER BY id)) FROM notes"
            found.append(conn.execute(query).fetchone())
    assert found[0] == found[1]


def test_every_kind_of_hostile_row_changes_something(database):
    with psycopg.connect(database) as conn:
        schema.create(conn)
        generate.generate(conn, 2, 1)
        writer = Writer(conn)
        for kind in kinds():
            assert all(writer.has(*name.split(".")) for name in kind.needs.split()), kind.what
            for statement in kind.sql.split(";\n"):
                cursor = conn.execute(SQL(statement))
                assert cursor.rowcount > 0, f"{kind.what}: {statement}"
