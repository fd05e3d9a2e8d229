"""What a process of its own does until it is killed: targets of `multiprocessing`, which take plain values."""

from __future__ import annotations

import logging
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from project_export.errors import AttemptRevoked
from project_export.ledger import Claims, Jobs
from project_export.producers.run import FileProducer
from project_export.source import Chunk, Reader
from project_export.steps import Merger, Owner, Worker, watch
from project_export.store import LocalStore, pieces
from tests.runs import context

DAY = 86_400
Target = Callable[..., None]
MOMENTS = (
    "in the tar",
    "before the sync",
    "before the rename",
    "before the manifest",
    "before the ledger",
    "before the removal",
)


def merge_and_die(source: str, ledger_dsn: str, folder: Path, job_id: int, run_id: str, moment: str) -> None:
    """Merge a job, and be killed by SIGKILL at one of the MOMENTS."""
    places: dict[str, tuple[Any, str, int]] = {
        "in the tar": (pieces, "_copy", 3),
        "before the sync": (os, "fsync", 1),
        "before the rename": (Path, "replace", 1),
        "before the manifest": (Path, "replace", 2),
        "before the ledger": (Jobs, "finish", 1),
        "before the removal": (LocalStore, "remove_others", 1),
    }
    owner, name, calls = places[moment]
    setattr(owner, name, _killing(getattr(owner, name), calls))
    merge_job(source, ledger_dsn, folder, job_id, run_id)


def merge_job(source: str, ledger_dsn: str, folder: Path, job_id: int, run_id: str) -> None:
    """Merge a job."""
    Merger(context(source, ledger_dsn, folder), job_id, run_id=run_id, attempt=1, last_try=False).run()


def work_unit(source: str, ledger_dsn: str, folder: Path, job_id: int, run_id: str) -> None:
    """Work as the first try of the only unit of a job."""
    Worker(context(source, ledger_dsn, folder), job_id, Owner(run_id, 0, 1), alone=True).run()


def work_until_told(source: str, ledger_dsn: str, folder: Path, job_id: int, run_id: str, unit: int) -> None:
    """Work as the first try of one of many units, until SIGTERM cancels it."""
    worker = Worker(context(source, ledger_dsn, folder), job_id, Owner(run_id, unit, 1), alone=False)
    signal.signal(signal.SIGTERM, lambda *_: worker.cancel())
    with suppress(AttemptRevoked):
        worker.run()


def wait_for_units(
    source: str, ledger_dsn: str, folder: Path, job_id: int, run_id: str, settings: dict[str, Any]
) -> None:
    """Look after a job until all its rows are finished, as the waiter does."""
    ctx = context(source, ledger_dsn, folder, **settings)
    while not watch(ctx, job_id, {})[1]:
        time.sleep(0.2)


def at_another_time(
    source: str, ledger_dsn: str, folder: Path, job_id: int, run_id: str, now: float, target: Target, *arguments: Any
) -> None:
    """Do as another one of these does, in a process that has the time wrong by most of a day at least; now: right."""
    assert abs(time.time() - now) > DAY - 3600
    # By libfaketime 0.9.10 every sleep until a time, as Python's is, is a wrong argument.
    time.sleep = lambda seconds: select.select([], [], [], seconds)
    target(source, ledger_dsn, folder, job_id, run_id, *arguments)


def measured(
    source: str, ledger_dsn: str, folder: Path, job_id: int, run_id: str, report: Path, target: Target, *arguments: Any
) -> None:
    """Do as another one of these does; report: gets the most memory that this took, in MB, and what was logged."""
    logging.basicConfig(filename=report.with_suffix(".log"), level=logging.WARNING, format="%(message)s")
    target(source, ledger_dsn, folder, job_id, run_id, *arguments)
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    report.write_text(f"{int(status['VmHWM'].split()[0]) * 1024 / 1e6:.0f}")


def short_of_memory(
    source: str, ledger_dsn: str, folder: Path, job_id: int, run_id: str, relation: str, more: int
) -> None:
    """Work as the first try of the only unit; while it reads a relation, it gets `more` bytes beyond what it has.

    That is what it has when it first reads it: later, some of it is free again, and an attempt could do with that.
    """
    real, (soft, hard) = Reader.read, resource.getrlimit(resource.RLIMIT_AS)
    most = 0

    def read(reader: Reader, name: str, *arguments: Any) -> Iterator[Chunk]:
        nonlocal most
        if name == relation:
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            most = most or pages * resource.getpagesize() + more
            resource.setrlimit(resource.RLIMIT_AS, (most, hard))
        try:
            yield from real(reader, name, *arguments)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))

    Reader.read = read  # type: ignore[method-assign]
    work_unit(source, ledger_dsn, folder, job_id, run_id)


def in_group(
    source: str, ledger_dsn: str, folder: Path, job_id: int, run_id: str, group: Path, target: Target, *arguments: Any
) -> None:
    """Do as another one of these does, in a process of that control group."""
    (group / "cgroup.procs").write_text(str(os.getpid()))
    target(source, ledger_dsn, folder, job_id, run_id, *arguments)


def work_and_die(
    source: str, ledger_dsn: str, folder: Path, job_id: int, run_id: str, parts: int, settings: dict[str, Any]
) -> None:
    """Work as the first try of a unit that borrows its snapshot; be killed when its part of this number is written."""
    Claims.finish = _killing(Claims.finish, parts)  # type: ignore[method-assign]
    Worker(context(source, ledger_dsn, folder, **settings), job_id, Owner(run_id, 0, 1), alone=False).run()


def work_and_die_inside(
    source: str, ledger_dsn: str, folder: Path, job_id: int, run_id: str, relation: str, size: int, report: Path
) -> None:
    """Work as the first try of a unit that borrows its snapshot; be killed once it has read this much of a relation.

    report: gets the numbers of the processes that this one has started and that still run.
    """
    real = FileProducer.chunks
    left = size

    def chunks(producer: FileProducer) -> Iterator[Chunk]:
        nonlocal left
        for chunk in real(producer):
            yield chunk
            left -= len(chunk.data) if producer.relation == relation else 0
            if left <= 0:
                report.write_text(" ".join(str(one.pid) for one in psutil.Process().children(recursive=True)))
                os.kill(os.getpid(), signal.SIGKILL)

    FileProducer.chunks = chunks  # type: ignore[method-assign]
    Worker(context(source, ledger_dsn, folder), job_id, Owner(run_id, 0, 1), alone=False).run()


def _killing(real: Callable[..., Any], calls: int) -> Callable[..., Any]:
    """Return a function that does as the real one, but kills its process in the call of this number."""
    left = calls

    def killing(*args: Any, **kwargs: Any) -> Any:
        nonlocal left
        left -= 1
        if not left:
            sys.stdout.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)

    return killing
