"""What the generator writes in the layouts of other versions of GitLab."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from project_export.sample import generate, layouts, schema
from tests import reader


def texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for child in children for text in texts(child)]


@pytest.mark.parametrize("layout", layouts.names())
def test_a_replaced_table_contains_canaries_that_are_in_no_record(layout, database):
    with psycopg.connect(database) as conn:
        schema.create(conn, layout)
        generate.generate(conn, 1, 0.2)
        archived = [table for table in schema.tables(layout) if table.endswith("_archived")]
        for table in archived:
            rows = conn.execute(SQL("SELECT own::text FROM {} AS own").format(Identifier(table))).fetchall()
            assert rows
            assert all("CANARY" in text for (text,) in rows)
        assert not [text for text in texts(list(reader.read_project(conn, 1).values())) if "CANARY" in text]


def test_a_new_path_that_equals_the_old_one_is_null_since_18_4(new_database):
    query = "SELECT count(*) FILTER (WHERE new_path IS NULL) > 0, count(*) FILTER (WHERE new_path = old_path) > 0"
    for layout, expected in (("17.1", (False, True)), ("18.6", (True, True)), ("19.5", (True, True))):
        with psycopg.connect(new_database()) as conn:
            schema.create(conn, layout)
            generate.generate(conn, 1, 1)
            assert conn.execute(f"{query} FROM merge_request_diff_files").fetchone() == expected, layout


def test_before_17_5_the_types_of_work_items_have_other_ids(new_database):
    for layout, fixed in (("17.1", False), ("18.6", True)):
        with psycopg.connect(new_database()) as conn:
            schema.create(conn, layout)
            generate.generate(conn, 1, 0.2)
            rows = conn.execute("SELECT id, base_type FROM work_item_types ORDER BY base_type").fetchall()
            unknown = "SELECT FROM issues WHERE work_item_type_id NOT IN (SELECT id FROM work_item_types)"
            assert conn.execute(unknown).fetchone() is None
        assert [base_type for _, base_type in rows] == list(range(9))
        assert all((number == base_type + 1) is fixed for number, base_type in rows)
