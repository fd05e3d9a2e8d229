"""The merge is killed, units are dispatched twice, the store refuses: on real processes, without Airflow."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from archives import read_archive
from runs import attempts, context, merge, path_of, started, work

from project_export.errors import StoreRefused
from project_export.ledger import Job
from project_export.steps import Context, Created
from tests.chaos import victims
from tests.chaos.conftest import Happened
from tests.chaos.ground import (
    Undisturbed,
    archive_of,
    assert_nothing_left,
    assert_verified,
    digest,
    shell_export,
)

RUN = "dag/run"
QUICK = "before the rename"
Place = tuple[str, str, Path]


@pytest.fixture
def place(generated: str, database: str, tmp_path: Path) -> Place:
    """A source, a ledger and a folder for the store."""
    return generated, database, tmp_path / "store"


def started_process(target: Callable[..., None], *arguments: Any) -> multiprocessing.process.BaseProcess:
    process = multiprocessing.get_context("spawn").Process(target=target, args=arguments)
    process.start()
    return process


def exported(place: Place) -> tuple[Context, Created]:
    """Return a job all of whose relations are exported, by one unit."""
    ctx = context(*place, units=1)
    created = started(ctx)
    assert work(ctx, created) == []
    return ctx, created


@pytest.mark.fault("F02", "two processes of the same unit, two of the same merge")
@pytest.mark.quick
def test_twins_of_a_unit_and_of_the_merge_give_one_archive(
    place: Place, undisturbed: Undisturbed, happened: Happened
) -> None:
    ctx = context(*place, units=1)
    created = started(ctx, consistency="relation")
    for target in (victims.work_unit, victims.merge_job):
        twins = [started_process(target, *place, created.job_id, RUN) for _ in range(2)]
        for twin in twins:
            twin.join(60)
        assert 0 in {twin.exitcode for twin in twins}
    job = ctx.ledger.job(created.job_id)
    assert job.state == "finished"
    archive = path_of(merge(ctx, created))
    assert digest(archive) == job.archive_sha256
    undisturbed.assert_same(archive, 1)
    assert len({(row.relation, row.part) for row in ctx.ledger.rows(job.id)}) == len(ctx.ledger.rows(job.id))
    assert_nothing_left(place[0], place[2])
    happened("each row had one winner, SAME")


@pytest.mark.fault("F10", "merge killed -9")
@pytest.mark.parametrize(
    "moment", [pytest.param(one, marks=[pytest.mark.quick] * (one == QUICK)) for one in victims.MOMENTS]
)
def test_a_killed_merge_publishes_the_whole_archive_or_none_and_is_repeated(
    generated_copy: str, database: str, tmp_path: Path, undisturbed: Undisturbed, happened: Happened, moment: str
) -> None:
    place = generated_copy, database, tmp_path / "store"
    ctx, created = exported(place)
    kill_merge(place, created, moment)
    job = ctx.ledger.job(created.job_id)
    counted = job.archive_uri is not None
    assert counted == (moment == "before the removal")
    archive = path_of(merge(ctx, created, attempt=2))
    undisturbed.assert_same(archive, 1)
    assert set(attempts(ctx, created).values()) == {1}
    assert_nothing_left(place[0], place[2])

    with psycopg.connect(generated_copy) as conn:
        conn.execute("UPDATE labels SET title = title || ' changed' WHERE project_id = 1")
    assert started(ctx) == created  # the run is cleared
    assert work(ctx, created, attempt=2) == []
    offered = ctx.ledger.job(created.job_id)
    assert digest(archive) == offered.archive_sha256
    kill_merge(place, created, moment)
    now = ctx.ledger.job(created.job_id)
    assert (now.archive_sha256 == offered.archive_sha256) == (moment != "before the removal")
    assert now.archive_sha256 == digest(offered_path(now))
    assert assert_verified(offered_path(now)).archive.sha256 == now.archive_sha256
    last = path_of(merge(ctx, created, attempt=3))
    assert (last == archive, archive.exists()) == (False, False)
    assert {label["title"].endswith(" changed") for label in read_archive(last)["labels"]} == {True}
    assert assert_verified(last).archive.sha256 == ctx.ledger.job(created.job_id).archive_sha256
    assert set(attempts(ctx, created).values()) == {2}
    assert_nothing_left(place[0], place[2])
    assert len(list(place[2].rglob("project.[mt]*"))) == 2
    happened(f"{moment}: {'the new archive' if counted else 'the one before'} counted, whole; repeated, SAME")


def offered_path(job: Job) -> Path:
    """Return where the archive lies that counts."""
    return Path(str(job.archive_uri).removeprefix("file://"))


def kill_merge(place: Place, created: Created, moment: str) -> None:
    process = started_process(victims.merge_and_die, *place, created.job_id, RUN, moment)
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.fault("F09", "store refuses to be written")
def test_a_store_that_refuses_fails_the_export_after_bounded_tries(
    place: Place, undisturbed: Undisturbed, happened: Happened
) -> None:
    ctx = context(*place, units=1, max_attempts=2)
    created = started(ctx, consistency="relation")
    with denied(ctx.store.local_path(f"{ctx.store.uri}/x").parent):  # type: ignore[union-attr] - it is a local one
        assert work(ctx, created) != []
        with pytest.raises(Exception, match=r"E(ROFS|ACCES)"):
            merge(ctx, created)
    job = ctx.ledger.job(created.job_id)
    assert job.state == "failed"
    assert all("EROFS" in error.message or "EACCES" in error.message for error in job.errors)
    assert {error.attempt for error in job.errors} == {2}
    with pytest.raises(StoreRefused), denied(place[2]):
        ctx.store.check()
    assert_nothing_left(place[0], place[2])
    undisturbed.assert_same(path_of(merge(ctx, created, attempt=2)), 1)
    happened("two tries each, then failed with path and errno; repeated when it could be written, SAME")


@contextmanager
def denied(folder: Path) -> Iterator[None]:
    """Let nobody write in a folder; for root, whom rights do not stop, a read-only one lies over it."""
    if os.geteuid() != 0:
        folder.chmod(0o555)
        try:
            yield
        finally:
            folder.chmod(0o755)
        return
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", folder], capture_output=True, check=False
    ).returncode:
        pytest.skip("nothing can be mounted here, and rights do not stop root")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.fault("F31", "64 open files at the most")
def test_few_open_files_are_enough(
    generated: str, tmp_path: Path, undisturbed: Undisturbed, happened: Happened
) -> None:
    archive = archive_of(shell_export(generated, tmp_path, "--jobs", "2", limit="-n 64"))
    undisturbed.assert_same(archive, 1)
    assert_nothing_left(generated, tmp_path)
    happened("enough, SAME")


@pytest.mark.fault("F31", "too few open files")
def test_too_few_open_files_are_a_clean_failure_and_a_repeated_export_works(
    generated: str, tmp_path: Path, undisturbed: Undisturbed, happened: Happened
) -> None:
    done = shell_export(generated, tmp_path, "--jobs", "1", limit="-n 12")
    assert done.returncode != 0
    assert "Too many open files" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("*.tar.gz"))
    undisturbed.assert_same(archive_of(shell_export(generated, tmp_path, "--jobs", "1")), 1)
    assert_nothing_left(generated, tmp_path)
    happened(f"exit code {done.returncode}, no archive; the next export SAME")
