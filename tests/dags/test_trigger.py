"""The trigger that holds the snapshot: it does not block the triggerer, keeps no secret, and always ends its task."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import Any

import pytest

from project_export.errors import AttemptRevoked, LedgerBusy, SnapshotMissing, SourceBusy

HEAVY = """
import asyncio, sys, threading
from project_export.airflow.trigger import hold
from airflow.sdk import BaseHook, Connection

class Seen:
    def find_spec(self, name, path=None, target=None):
        if name in ("psycopg", "project_export.steps", "sqlalchemy.orm") :
            print(name, threading.current_thread() is threading.main_thread())
sys.meta_path.insert(0, Seen())

async def connection(conn_id):
    return Connection(conn_id=conn_id, conn_type="postgres", host="127.0.0.1", port=9)
BaseHook.aget_connection = connection

async def main():
    try:
        await hold(7, "source", "ledger", {})
    except Exception as error:
        print(type(error).__name__)
asyncio.run(main())
"""


def test_it_imports_in_a_thread_so_that_the_triggerer_goes_on(tmp_path, repo):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PROJECT_EXPORT")}
    environment |= {"AIRFLOW_HOME": str(tmp_path), "PYTHONPATH": str(repo / "include")}
    done = subprocess.run(
        [sys.executable, "-c", HEAVY], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    *imports, error = done.stdout.splitlines()
    assert "project_export.steps False" in imports
    assert not [line for line in imports if line.endswith("True")]
    assert error == "LedgerBusy"


def test_it_keeps_names_only():
    from project_export.airflow.trigger import SnapshotTrigger

    path, arguments = SnapshotTrigger(7, "source", "ledger", {"zone": "UTC"}).serialize()
    assert path == "project_export.airflow.trigger.SnapshotTrigger"
    names = {"job_id": 7, "source_conn_id": "source", "ledger_conn_id": "ledger"}
    assert arguments == {**names, "settings": {"zone": "UTC"}}


@pytest.mark.parametrize(
    ("endings", "held"),
    [
        ([None], 1),
        ([SourceBusy("connection lost"), LedgerBusy("no answer"), None], 3),
        ([SnapshotMissing("lost 8 times")], 1),
        ([AttemptRevoked("another holder was first")], 1),
        ([RuntimeError("nobody foresaw it")], 1),
    ],
)
def test_only_a_lost_snapshot_is_followed_by_another_one(endings, held):
    from project_export.airflow.trigger import keep_holding

    holdings = []

    async def hold_one() -> None:
        ending = endings[len(holdings)]
        holdings.append(ending)
        if ending is not None:
            raise ending

    asyncio.run(keep_holding(hold_one, pause_seconds=0))
    assert len(holdings) == held


def test_the_task_succeeds_even_if_nothing_can_be_held(monkeypatch):
    from airflow.sdk import BaseHook
    from airflow.triggers.base import TaskSuccessEvent

    from project_export.airflow.trigger import SnapshotTrigger

    async def no_connection(conn_id: str) -> Any:
        raise RuntimeError(f"no connection {conn_id}")

    async def events() -> list[Any]:
        return [event async for event in SnapshotTrigger(7, "source", "ledger").run()]

    monkeypatch.setattr(BaseHook, "aget_connection", no_connection)
    (event,) = asyncio.run(events())
    assert isinstance(event, TaskSuccessEvent)
