"""What the docs ask the ledger for, it answers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import psycopg
import pytest

PAGES = ("operate.md", "api.md")


@pytest.mark.parametrize("page", PAGES)
def test_every_query_of_the_docs_can_be_run(repo: Path, ledger_dsn: str, page: str) -> None:
    blocks = re.findall(r"```sql\n(.*?)```", (repo / "docs" / page).read_text("utf-8"), re.DOTALL)
    queries = [query for block in blocks for query in block.split(";") if query.strip()]
    assert queries
    with psycopg.connect(ledger_dsn) as connection:
        for query in queries:
            connection.execute(re.sub(r"\bN\b", "1", query).encode())


def test_every_query_of_the_dashboard_can_be_run(repo: Path, ledger_dsn: str) -> None:
    board = json.loads((repo / "docs" / "grafana" / "project_export.json").read_text("utf-8"))
    queries = [target["rawSql"] for panel in board["panels"] for target in panel["targets"] if "rawSql" in target]
    assert len(queries) == 4
    with psycopg.connect(ledger_dsn) as connection:
        for query in queries:
            connection.execute(query.encode())
