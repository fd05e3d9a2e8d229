"""The ledger of the shell: one SQLite file, several processes."""

from __future__ import annotations

import multiprocessing
import sqlite3
import threading
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text

from project_export.errors import LedgerBusy
from project_export.ledger import JobRequest, Ledger, Planned, check, make_engine, upgrade

REQUEST = JobRequest(source="s", tree="t", project_id=1, run_id="shell:1", requested_by="jane")


def claim_all(dsn: str, job_id: int, unit: int) -> list[int]:
    ledger = Ledger(make_engine(dsn))
    taken = []
    while claim := ledger.claims.claim(job_id, unit, f"unit {unit}"):
        taken.append(claim.row_id)
    return taken


@pytest.mark.heavy
def test_four_processes_claim_each_row_once(tmp_path: Path) -> None:
    dsn = f"sqlite:///{tmp_path / 'ledger.db'}"
    upgrade(make_engine(dsn))
    ledger = Ledger(make_engine(dsn))
    job = ledger.jobs.open(REQUEST, [Planned(f"r{n}", n, unit=n % 4) for n in range(40)])
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as pool:
        taken = list(pool.map(claim_all, [dsn] * 4, [job.id] * 4, range(4)))
    assert Counter(row for rows in taken for row in rows) == Counter(row.id for row in ledger.queries.rows(job.id))
    assert {row.attempt for row in ledger.queries.rows(job.id)} == {1}


def test_an_engine_that_was_used_before_is_prepared_as_well(tmp_path: Path) -> None:
    engine = make_engine(f"sqlite:///{tmp_path / 'ledger.db'}")
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    Ledger(engine)
    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"
        assert connection.execute(text("PRAGMA foreign_keys")).scalar_one() == 1


def test_the_error_about_a_file_that_cannot_be_opened_names_the_ledger(tmp_path: Path) -> None:
    ledger = Ledger(make_engine(f"sqlite:///{tmp_path / 'no such folder' / 'ledger.db'}"))
    with pytest.raises(LedgerBusy, match="The ledger's database did not answer: unable to open"):
        ledger.queries.job(1)


def test_a_new_ledger_waits_for_another_process_that_is_creating_it(tmp_path: Path) -> None:
    file = tmp_path / "ledger.sqlite"
    other = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")  # SQLite does not wait for this lock when it switches to write-ahead logging
    release = threading.Timer(0.3, other.rollback)
    release.start()
    engine = make_engine(f"sqlite:///{file}")
    upgrade(engine)
    check(engine)
    engine.dispose()
    release.join()
    other.close()
