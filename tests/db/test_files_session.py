"""The session on the source waits while files and repositories are read, however long that takes."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import pytest

from project_export.producers.bundles import BundlesProducer
from project_export.producers.files import FilesProducer
from project_export.source import Limits
from project_export.steps import context
from tests.attic import Attic
from tests.repositories import filled
from tests.runs import started, worker

IDLE_SECONDS = 0.5


@pytest.mark.parametrize("slow", [FilesProducer, BundlesProducer])
@pytest.mark.slow
def test_a_file_or_repository_that_takes_longer_than_a_session_may_be_idle_is_exported_at_once(
    database: str, ledger_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow: type
) -> None:
    attic = Attic(database, ledger_dsn, tmp_path).make()
    attic.sql("UPDATE attics SET diary = 'diary'")
    filled(attic.shelves, "diary.git")
    attic.add("a thing", b"1")
    monkeypatch.setattr(context, "Limits", partial(Limits, idle_seconds=IDLE_SECONDS))
    read = slow.read

    def slowly(producer):
        for chunk in read(producer):
            time.sleep(3 * IDLE_SECONDS)
            yield chunk

    monkeypatch.setattr(slow, "read", slowly)
    ctx = attic.context(units=1)
    created = started(ctx)
    only = worker(ctx, created)
    finish, limits = ctx.ledger.claims.finish, []

    def finished(*arguments):
        finish(*arguments)
        limits.append(only._source.session.one("SHOW idle_in_transaction_session_timeout"))

    ctx.ledger.claims.finish = finished
    only.run()
    assert {row.attempt for row in ctx.ledger.queries.rows(created.job_id)} == {1}
    assert set(limits) == {("500ms",)}
