"""The store or the folder for temporary files is full while files and repositories are exported."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from project_export.errors import Failure, RelationsFailed
from project_export.steps import Context, Created
from tests.chaos.attics import MIB, FaultyAttic, full, large_repository, small
from tests.chaos.conftest import Happened
from tests.repositories import filled
from tests.runs import attempts, files, merge, started, work

SIZE = "400m"
LETTER = hashlib.sha256(b"1").hexdigest()


@pytest.fixture
def attic(database: str, ledger_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyAttic]:
    """An attic whose store and temporary files are on small file systems of their own."""
    attic = FaultyAttic(database, ledger_dsn, tmp_path)
    attic.store.mkdir()
    attic.temporary.mkdir()
    with small(attic.store, SIZE), small(attic.temporary, SIZE):
        yield attic.settle(monkeypatch)


def failed(ctx: Context, created: Created) -> tuple[Failure, ...]:
    """Export with a disk that is full; return the failures."""
    assert work(ctx, created) != []
    with pytest.raises(RelationsFailed) as raised:
        merge(ctx, created)
    return raised.value.failures


def assert_only_read_again(attic: FaultyAttic, ctx: Context, created: Created, *relations: str) -> None:
    """Clear the run, and assert that these relations alone are read again."""
    before = attempts(ctx, created)
    assert started(ctx) == created
    assert work(ctx, created, attempt=2) == []
    merge(ctx, created, attempt=2)
    changed = {name for name, number in attempts(ctx, created).items() if number != before[name]}
    assert changed == set(relations)
    assert attic.offered(1).id == created.job_id


@pytest.mark.fault("F08", "store full while a part of files or a bundle is written")
@pytest.mark.parametrize("relation", ["things", "diary"])
def test_a_full_store_fails_the_relation_by_name_and_a_clear_reads_only_what_is_missing(
    attic: FaultyAttic, happened: Happened, relation: str
) -> None:
    if relation == "things":
        attic.large("large", 40)
        filled(attic.shelves, "diary.git")
    else:
        large_repository(attic.shelves, "diary.git", 40, each=20)
    with attic.surviving():
        ctx = attic.context(units=1, max_attempts=2, consistency="relation")
        created = started(ctx)
        with full(attic.store, left=20 * MIB):
            (failure,) = failed(ctx, created)
            attic.assert_nothing_left()
        assert (failure.relation, failure.attempt) == (relation, 2)
        assert "ENOSPC" in failure.message
        assert_only_read_again(attic, ctx, created, relation)
    happened(f"{relation}: failed with ENOSPC after {failure.attempt} attempts; cleared: it alone read again, SAME")


@pytest.mark.fault("F08", "no space for the temporary file of a snippet's bundle")
def test_a_bundle_whose_temporary_file_finds_no_space_fails_by_name_and_a_clear_exports_it(
    attic: FaultyAttic, happened: Happened
) -> None:
    filled(attic.shelves, "diary.git")
    attic.sql("INSERT INTO letters (attic_id, name) VALUES (1, 'a long letter')")
    large_repository(attic.shelves, f"letters/{LETTER[:2]}/{LETTER}.git", 40, each=20)
    with attic.surviving():
        ctx = attic.context(units=1, max_attempts=2, consistency="relation")
        created = started(ctx)
        with full(attic.temporary, left=20 * MIB):
            (failure,) = failed(ctx, created)
            assert files(attic.temporary) == ["ballast"]
        assert (failure.relation, failure.attempt) == ("letters", 2)
        assert f"{attic.temporary}: No space left on device" in failure.message
        assert "set TMPDIR to another folder" in failure.message
        assert_only_read_again(attic, ctx, created, "letters")
    happened(f"failed with the folder and the reason after {failure.attempt} attempts; cleared: SAME")


@pytest.mark.fault("F08", "no space for the temporary folder of git")
def test_without_space_for_git_s_own_folder_only_bundles_fail_and_a_clear_exports_them(
    attic: FaultyAttic, happened: Happened
) -> None:
    filled(attic.shelves, "diary.git")
    with attic.surviving():
        ctx = attic.context(units=1, max_attempts=2, consistency="relation")
        created = started(ctx)
        with full(attic.temporary):
            (failure,) = failed(ctx, created)
            assert files(attic.temporary) == ["ballast"]
        assert (failure.relation, failure.attempt, failure.code) == ("diary", 2, "ENOSPC")
        assert str(attic.temporary) in failure.message
        assert "TMPDIR" in failure.message
        assert_only_read_again(attic, ctx, created, "diary")
    happened("failed with the folder and what to do; cleared: SAME")
