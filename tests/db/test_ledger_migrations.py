from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text

from project_export.errors import Failure, LedgerOutdated
from project_export.ledger import Beat, JobRequest, Ledger, Planned, check, make_engine, migrate, upgrade
from project_export.ledger.migrate import VERSION_TABLE
from project_export.ledger.models import REVISION, Base

CATALOGUE = """
    SELECT 'column', table_name || '.' || column_name,
        concat_ws(' ', data_type, is_nullable, column_default, identity_generation)
    FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'project_export_alembic_version'
    UNION ALL
    SELECT 'index', indexname, indexdef FROM pg_indexes
    WHERE schemaname = 'public' AND tablename <> 'project_export_alembic_version'
    UNION ALL
    SELECT 'constraint', conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND conrelid <> 'project_export_alembic_version'::regclass
        AND contype <> 'n' -- PostgreSQL 18 names these itself, and a renamed column keeps its name
    ORDER BY 1, 2
"""


@pytest.fixture(params=["postgresql", "sqlite"])
def dsn(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("database"))
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture
def engine(dsn: str) -> Iterator[Engine]:
    engine = make_engine(dsn)
    yield engine
    engine.dispose()


def catalogue(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(text(CATALOGUE)))


def test_an_upgrade_creates_the_tables_of_the_models(engine: Engine) -> None:
    upgrade(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, Base.metadata) == []


def test_an_upgrade_creates_the_checks_defaults_and_indexes_of_the_models(database: str) -> None:
    engine = make_engine(database)
    upgrade(engine)
    migrated = catalogue(engine)
    with engine.begin() as connection:
        Base.metadata.drop_all(connection)
        Base.metadata.create_all(connection)
    assert catalogue(engine) == migrated
    assert {kind for kind, *_ in migrated} == {"column", "index", "constraint"}
    engine.dispose()


def test_the_package_needs_its_newest_migration() -> None:
    folder = Path(migrate.__file__).with_name("migrations")
    assert ScriptDirectory(str(folder)).get_heads() == [REVISION]


def test_an_upgrade_of_an_up_to_date_ledger_changes_nothing(engine: Engine) -> None:
    upgrade(engine)
    ledger = Ledger(engine)
    job = ledger.jobs.open(JobRequest("s", "t", 1, "r", "jane"), [])
    upgrade(engine)
    assert ledger.queries.job(job.id) == job
    ledger.check()


def test_four_concurrent_upgrades_all_succeed(dsn: str) -> None:
    engines = [make_engine(dsn) for _ in range(4)]
    together = threading.Barrier(4)

    def run(engine: Engine) -> None:
        together.wait(30)
        upgrade(engine)
        check(engine)
        engine.dispose()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(run, engines))


def downgrade(engine: Engine, version: str) -> None:
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", "project_export.ledger:migrations")
        config.attributes["connection"] = connection
        command.downgrade(config, version)


def test_a_renamed_column_keeps_its_values_and_every_row(engine: Engine) -> None:
    upgrade(engine)
    ledger = Ledger(engine)
    job = ledger.jobs.open(JobRequest("s", "t", 1, "r", "jane"), [Planned("labels", 0), Planned("boards", 1)])
    claim = ledger.claims.claim(job.id, 0, "somebody")
    assert claim is not None
    ledger.claims.beat([Beat(claim.row_id, claim.attempt, 12345, 67)])
    before = ledger.queries.rows(job.id)
    downgrade(engine, "0005")
    with engine.connect() as connection:
        old = connection.execute(text("SELECT rows FROM relation_export ORDER BY position")).scalars().all()
    assert old == [12345, 0]
    upgrade(engine)
    assert ledger.queries.rows(job.id) == before


def test_an_older_version_finds_the_description_where_it_looks_for_it(engine: Engine) -> None:
    upgrade(engine)
    ledger = Ledger(engine)
    job = ledger.jobs.open(JobRequest("s", "t", 1, "r", "jane", params={"description": "before the move"}), [])
    other = ledger.jobs.open(JobRequest("s", "t", 2, "r", "jane", params={}), [])
    downgrade(engine, "0006")
    with engine.connect() as connection:
        old = connection.execute(text("SELECT description FROM project_export_job ORDER BY id")).scalars().all()
    assert old == ["before the move", None]
    upgrade(engine)
    assert [ledger.queries.job(one.id) for one in (job, other)] == [job, other]


def test_a_sqlite_that_cannot_drop_a_column_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = make_engine(f"sqlite:///{tmp_path / 'ledger.db'}")
    with monkeypatch.context() as older:
        older.setattr("sqlite3.sqlite_version_info", (3, 26, 0))
        upgrade(engine)
    ledger = Ledger(engine)
    job = ledger.jobs.open(JobRequest("s", "t", 1, "r", "jane"), [])
    downgrade(engine, "0006")
    upgrade(engine)
    assert ledger.queries.job(job.id) == job
    engine.dispose()


def test_what_older_versions_wrote_as_text_is_moved_to_columns(engine: Engine) -> None:
    upgrade(engine)
    ledger = Ledger(engine)
    jobs = []
    for number, said in enumerate(("run a was cancelled or is gone", "no right"), start=1):
        job = ledger.jobs.open(JobRequest("s", "t", number, "r", "jane"), [Planned("labels", 0), Planned("boards", 1)])
        jobs.append(job.id)
        claim = ledger.claims.claim(job.id, 0, "somebody")
        assert claim is not None
        ledger.claims.fail_attempt(claim, said, final=True)
        ledger.claims.cancel_rows(job.id, "labels had failed")
        ledger.jobs.fail(job.id, [Failure("*", 0, said)])
    with engine.begin() as connection:
        connection.execute(text("UPDATE relation_export SET error = 'cancelled: ' || error WHERE cancelled"))
    downgrade(engine, "0004")
    upgrade(engine)
    assert [ledger.queries.job(job).outcome for job in jobs] == ["cancelled", "failed"]
    assert [[row.cancelled for row in ledger.queries.rows(job)] for job in jobs] == [[False, True]] * 2
    assert [failure.relation for failure in ledger.queries.failures(jobs[1])] == ["labels", "*"]


def test_a_ledger_without_tables_says_what_to_run(engine: Engine) -> None:
    with pytest.raises(LedgerOutdated, match=r"has no tables; .* Run: project-export ledger upgrade"):
        Ledger(engine).check()


def at_version(engine: Engine, version: str) -> None:
    upgrade(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE project_export_alembic_version SET version_num = :new"), {"new": version})


def test_a_ledger_of_an_older_version_says_what_to_run(engine: Engine) -> None:
    at_version(engine, "0001")
    with pytest.raises(LedgerOutdated, match=rf"is at version 0001; .* needs version {REVISION}. Run: .* upgrade"):
        check(engine)


@pytest.mark.parametrize("use", [check, upgrade])
def test_a_ledger_of_a_newer_package_asks_for_an_update(use: Callable[[Engine], None], engine: Engine) -> None:
    at_version(engine, "0999")
    with pytest.raises(LedgerOutdated, match=r"is at version 0999, which .* Update project-export wherever"):
        use(engine)
