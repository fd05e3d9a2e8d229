"""CPU and memory of PostgreSQL's processes, from /proc."""

from __future__ import annotations

import os
import resource
import threading
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_WATCH_SECONDS = 0.05


def client_cpu() -> float:
    """Return the CPU seconds that this process and its ended children have used so far."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def server_cpu(postmaster: int) -> float:
    """Return the CPU seconds that all processes of a server have used so far, including ended ones.

    This includes parallel workers, which are missing from the figures of a statement's backend.
    """
    ticks = sum(_stat(postmaster)[11:15])  # utime, stime, and the same for children that were waited for
    return (ticks + sum(sum(_stat(pid)[11:13]) for pid in children(postmaster))) / TICKS_PER_SECOND


def children(pid: int) -> list[int]:
    """Return the ids of a process's children."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def parent(pid: int) -> int:
    """Return the id of a process's parent."""
    return _stat(pid)[1]


def peak_mb(pid: int | str = "self") -> float:
    """Return a process's peak resident memory in MB; unlike ru_maxrss, without that of its parent before exec."""
    return _status_mb(pid, "VmHWM")


class BackendWatch:
    """Watches the private memory of the server's processes, without shared buffers; `peak_mb` is the peak in MB."""

    def __init__(self, postmaster: int) -> None:
        self.peak_mb = 0.0
        self._postmaster = postmaster
        self._ignored = set(children(postmaster))
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> BackendWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(_WATCH_SECONDS):
            for pid in set(children(self._postmaster)) - self._ignored:
                try:
                    self.peak_mb = max(self.peak_mb, _status_mb(pid, "RssAnon"))
                except (FileNotFoundError, ProcessLookupError, KeyError):
                    continue  # the process has just ended


def _status_mb(pid: int | str, field: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    values = dict(line.split(":", 1) for line in lines)
    return int(values[field].split()[0]) / 1024


def _stat(pid: int) -> list[int]:
    """Return the fields of /proc/<pid>/stat from the third on (ppid is at index 1); one that is not a number is 0."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return [0] * 60  # the process has just ended; its parent has its times
    fields = text.rpartition(")")[2].split()
    return [int(field) if field.lstrip("-").isdigit() else 0 for field in fields]
