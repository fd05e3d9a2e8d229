"""The bytes of a relation are estimated from the database's statistics; the estimate only decides how it is planned."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from project_export.source import Limits, Session
from project_export.source.sizes import Sizes
from project_export.tree import bind, load, tables
from tests.runs import context, started

MIB = 1 << 20


@pytest.fixture
def fat(generated_copy: str) -> str:
    """A project with 40 more snippets of 1 MiB each, which do not compress."""
    with psycopg.connect(generated_copy, autocommit=True) as conn:
        conn.execute("""
            INSERT INTO snippets (project_id, author_id, title, file_name, content, type, created_at, updated_at)
            SELECT 1, (SELECT min(id) FROM users), 'fat ' || n, 'f', (
                SELECT string_agg(md5((n * 1e6 + i)::text), '') FROM generate_series(1, 32768) AS i
            ), 'ProjectSnippet', now(), now() FROM generate_series(1, 40) AS n
        """)
        conn.execute("VACUUM (ANALYZE)")
    return generated_copy


def sizes(database: str, **records: int) -> dict[str, int]:
    tree = load("gitlab")
    with Session(lambda: psycopg.connect(database), "test", Limits()) as session:
        bound = bind(tree, session.catalogue(tables(tree)))
        found = Sizes(session, bound)
        return {name: found.of(bound.relation(name), count) for name, count in records.items()}


def test_long_values_count_although_they_are_stored_apart(fat: str) -> None:
    with psycopg.connect(fat) as conn:
        (count,) = conn.execute("SELECT count(*) FROM snippets").fetchone() or (0,)
    found = sizes(fat, snippets=count, labels=10)
    assert 40 * MIB <= found["snippets"] <= 60 * MIB
    assert found["labels"] < MIB


def test_what_was_never_analyzed_or_is_shared_with_other_relations_counts_as_nothing(generated_copy: str) -> None:
    with psycopg.connect(generated_copy) as conn:
        conn.execute("UPDATE pg_class SET reltuples = -1 WHERE relname = 'snippets'")
        conn.execute("UPDATE pg_class SET reltuples = 1e6, relpages = 1e6 WHERE relname IN ('notes', 'issues')")
    found = sizes(generated_copy, snippets=10, issues=100)
    assert found["snippets"] == 0
    # 8 KiB of its own. The million notes are not counted: nothing says how many belong to issues.
    assert 100 * 8192 <= found["issues"] < 200 * 8192


def test_nested_rows_count_with_as_many_per_parent_as_there_are_on_average(generated_copy: str) -> None:
    with psycopg.connect(generated_copy) as conn:
        conn.execute("UPDATE pg_class SET reltuples = -1 WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")
        conn.execute("UPDATE pg_class SET reltuples = 10, relpages = 10, reltoastrelid = 0 WHERE relname = 'releases'")
        conn.execute("UPDATE pg_class SET reltuples = 40, relpages = 80 WHERE relname = 'release_links'")
    # A page for each release, and 4 links for each, of 2 pages each.
    assert sizes(generated_copy, releases=5)["releases"] == 5 * 8192 * (1 + 4 * 2)


def test_a_relation_of_few_large_records_gets_several_parts(fat: str, ledger_dsn: str, tmp_path: Path) -> None:
    ctx = context(fat, ledger_dsn, tmp_path, part_bytes=8 * MIB)
    created = started(ctx, "snippets", "labels")
    rows = ctx.ledger.queries.rows(created.job_id)
    assert {row.parts for row in rows if row.relation == "snippets"} <= {5, 6, 7, 8}
    assert {row.parts for row in rows if row.relation == "labels"} == {1}
    ctx.ledger.close()
