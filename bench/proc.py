"""CPU and memory of processes, from /proc."""

from __future__ import annotations

import contextlib
import os
import resource
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

W = TypeVar("W", bound="Watch")

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_WATCH_SECONDS = 0.05


def client_cpu() -> float:
    """Return the CPU seconds that this process and its ended children have used so far."""
    return own_cpu() + children_cpu()


def own_cpu() -> float:
    """Return the CPU seconds that this process has used so far."""
    return _cpu(resource.RUSAGE_SELF)


def children_cpu() -> float:
    """Return the CPU seconds that this process's ended children, and theirs, have used so far."""
    return _cpu(resource.RUSAGE_CHILDREN)


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


class Watch(ABC):
    """Looks at other processes again and again, in a thread, until the block ends."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self: W) -> W:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(_WATCH_SECONDS):
            for pid in self._pids():
                with contextlib.suppress(FileNotFoundError, ProcessLookupError, KeyError):  # it has just ended
                    self._look(pid)

    @abstractmethod
    def _pids(self) -> Iterable[int]:
        """Return the processes to look at."""

    @abstractmethod
    def _look(self, pid: int) -> None:
        """Look at one."""


class BackendWatch(Watch):
    """Watches the private memory of the server's processes, without shared buffers; `peak_mb` is the peak in MB."""

    def __init__(self, postmaster: int) -> None:
        super().__init__()
        self.peak_mb = 0.0
        self._postmaster = postmaster
        self._ignored = set(children(postmaster))

    def _pids(self) -> Iterable[int]:
        return set(children(self._postmaster)) - self._ignored

    def _look(self, pid: int) -> None:
        self.peak_mb = max(self.peak_mb, _status_mb(pid, "RssAnon"))


class ProgramWatch(Watch):
    """Watches a process and everything it starts.

    peaks, private: the peak memory in MB by the program's name; resident, and without pages of files, which the system
    can take back. What a process reaches less than 50 ms before its end may be missed.
    """

    def __init__(self, pid: int) -> None:
        super().__init__()
        self.peaks: dict[str, float] = {}
        self.private: dict[str, float] = {}
        self._pid = pid

    def _pids(self) -> Iterable[int]:
        found = [self._pid]
        for pid in found:  # grows while it is read
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found += children(pid)
        return found

    def _look(self, pid: int) -> None:
        name = Path(f"/proc/{pid}/comm").read_text().rstrip("\n")
        self.peaks[name] = max(self.peaks.get(name, 0.0), peak_mb(pid))
        self.private[name] = max(self.private.get(name, 0.0), _status_mb(pid, "RssAnon"))


def _cpu(who: int) -> float:
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


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
