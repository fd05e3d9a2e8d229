"""The sample's schema in a real PostgreSQL."""

import psycopg
import pytest
from typer.testing import CliRunner

from project_export.cli import app
from project_export.errors import BadRequest
from project_export.sample import layouts, schema

every_layout = pytest.mark.parametrize("layout", layouts.names())


@every_layout
def test_the_schema_has_every_table_with_its_columns_in_order(layout, database):
    with psycopg.connect(database) as conn:
        schema.create(conn, layout)
        rows = conn.execute(
            """
            SELECT relname, array_agg(attname::text ORDER BY attnum), array_agg(attnotnull ORDER BY attnum)
            FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
            WHERE relkind IN ('r', 'p') AND NOT relispartition AND attnum > 0
              AND relnamespace = 'public'::regnamespace
            GROUP BY 1
            """
        ).fetchall()
    found = {table: (names, not_null) for table, names, not_null in rows}
    assert found == {
        table: ([column.name for column in columns], [column.not_null != "" for column in columns])
        for table, columns in schema.tables(layout).items()
    }


@every_layout
def test_the_schema_has_every_index_and_foreign_key_by_name(layout, database):
    with psycopg.connect(database) as conn:
        schema.create(conn, layout)
        names = {name for (name,) in conn.execute("SELECT relname FROM pg_class WHERE relkind IN ('i', 'I')")}
        names |= {name for (name,) in conn.execute("SELECT conname FROM pg_constraint WHERE contype = 'f'")}
    assert {key.name for key in schema.all_keys(layout)} <= names


def test_a_row_without_an_id_gets_the_next_one(database):
    with psycopg.connect(database) as conn:
        schema.create(conn)
        insert = "INSERT INTO shards (name) VALUES (%s) RETURNING id"
        ids = [conn.execute(insert, [name]).fetchone()[0] for name in ("default", "second")]
        assert ids == [1, 2]
        insert = """
            INSERT INTO p_ci_pipelines (project_id, partition_id) VALUES (1, %s)
            RETURNING id, tableoid::regclass::text
            """
        rows = [conn.execute(insert, [partition]).fetchone() for partition in (100, 101)]
        assert rows == [(1, "ci_pipelines_100"), (2, "ci_pipelines_101")]


def test_a_database_with_tables_of_the_sample_is_refused(database):
    with psycopg.connect(database) as conn:
        conn.execute("CREATE TABLE public.issues (mine text)")
        with pytest.raises(BadRequest, match=r"already has tables of the sample: issues\."):
            schema.create(conn)
        assert conn.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (1,)


def test_an_unknown_layout_is_refused_before_anything_is_created(database):
    with psycopg.connect(database) as conn:
        with pytest.raises(BadRequest, match=r"no layout '16\.0'"):
            schema.create(conn, "16.0")
        assert conn.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)


def test_the_command_creates_the_requested_layout(database):
    words = ["sample", "schema", "--dsn", database, "--layout", "17.1"]
    result = CliRunner().invoke(app, words)
    assert (result.exit_code, result.stdout) == (0, "the schema is there\n")
    with psycopg.connect(database) as conn:
        assert conn.execute("SELECT to_regclass('work_item_types') IS NULL").fetchone() == (False,)
