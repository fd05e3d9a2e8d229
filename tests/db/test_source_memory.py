"""Memory of reading: bytes bound it, not rows and not records. Measured in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from project_export.sample.generate import generate

MOST = 120 << 20
"""What an exporting process may need, in bytes, however large its project is."""
SCRIPT = """
import hashlib, sys
from pathlib import Path
import psycopg
from project_export.source import Limits, Reader, Session
from project_export.tree import bind, load, tables

tree = load("gitlab")
with Session(lambda: psycopg.connect(sys.argv[1]), "memory", Limits()) as session:
    reader = Reader(session, bind(tree, session.catalogue(tables(tree))), 1)
    size = sum(len(chunk.data) for name in sys.argv[2:] for chunk in reader.read(name))
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(size, int(status["VmHWM"].split()[0]) * 1024)
"""


def _read(database: str, repo: Path, *names: str) -> tuple[int, int]:
    """Return how many bytes of records there are, and the most memory that reading them took."""
    command = [sys.executable, "-c", SCRIPT, database, *names]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=repo / "include")
    size, peak = done.stdout.split()
    return int(size), int(peak)


def _add_issues(conn: psycopg.Connection[tuple[object, ...]], first: int, count: int, notes: int, note: int) -> None:
    """Add issues after all others, each with `notes` notes of `note` bytes."""
    conn.execute(
        """
        INSERT INTO issues (id, iid, project_id, namespace_id, title, relative_position, work_item_type_id)
        SELECT i, i, 1, (SELECT project_namespace_id FROM projects WHERE id = 1), 'issue', 1000000 + i, 1
        FROM generate_series(%s, %s) AS i
        """,
        [first, first + count - 1],
    )
    conn.execute(
        """
        INSERT INTO notes (id, noteable_type, noteable_id, project_id, note)
        SELECT i::bigint * 100000 + n, 'Issue', i, 1, repeat('x', %s)
        FROM generate_series(%s, %s) AS i, generate_series(1, %s) AS n
        """,
        [note, first, first + count - 1, notes],
    )


def _add_text(conn: psycopg.Connection[tuple[object, ...]], number: int, size: int) -> None:
    """Add an issue after all others, with a description of `size` bytes that hardly compresses."""
    _add_issues(conn, first=number, count=1, notes=0, note=0)
    conn.execute(
        """
        UPDATE issues SET description = (SELECT string_agg(md5(g::text), '') FROM generate_series(1, %s / 32) AS g)
        WHERE id = %s
        """,
        [size, number],
    )


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.slow
def test_fat_records_do_not_fill_the_memory(sample_database: str, repo: Path) -> None:
    with psycopg.connect(sample_database, autocommit=True) as conn:
        generate(conn, projects=1, scale=0.1)
        _add_issues(conn, first=1_000_000, count=1_000, notes=0, note=0)
        _add_issues(conn, first=2_000_000, count=40, notes=100, note=30_000)
        _add_issues(conn, first=3_000_000, count=1, notes=40_000, note=500)
        _add_text(conn, 4_000_000, 60_000_000)
    size, peak = _read(sample_database, repo, "issues")
    assert size > 210e6
    assert peak < MOST


TEXT = "(SELECT string_agg(md5(g::text), '') FROM generate_series(1, 2000000) AS g)"
"""64 MB that hardly compress."""
PACKED = SQL(f"""
    UPDATE {{}} SET diff = translate(encode({TEXT}::bytea, 'base64'), E'\\n', ''), "binary" = true
    WHERE relative_order = 0 AND merge_request_diff_id = (
        SELECT latest_merge_request_diff_id FROM merge_requests WHERE target_project_id = 1 ORDER BY id LIMIT 1
    )
""")  # noqa: S608


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.slow
def test_fat_records_with_values_to_compute_do_not_fill_the_memory(sample_database: str, repo: Path) -> None:
    with psycopg.connect(sample_database, autocommit=True) as conn:
        generate(conn, projects=1, scale=0.1)
        _add_issues(conn, first=1_000_000, count=1, notes=1, note=1)
        conn.execute(f"UPDATE notes SET note = {TEXT}, discussion_id = NULL WHERE id = 100000000001".encode())  # noqa: S608
        for name in ("merge_request_diff_files", "merge_request_diff_files_99208b8fac"):
            if conn.execute("SELECT to_regclass(%s)", [name]).fetchone() != (None,):
                conn.execute(PACKED.format(Identifier(name)))
    size, peak = _read(sample_database, repo, "issues", "merge_requests")
    assert size > 120e6
    assert peak < MOST
