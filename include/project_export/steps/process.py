"""A process, identified by its machine, its number, and its start."""

from __future__ import annotations

import os
import signal
import socket
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """born: the start, in ticks since the machine's boot; empty if it is unknown. As text: host:pid:born."""

    host: str
    pid: int
    born: str

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}:{self.born}"

    @staticmethod
    def this() -> Process:
        """Return the current process."""
        return Process(socket.gethostname(), os.getpid(), _born(os.getpid()))

    @staticmethod
    def parse(text: str) -> Process | None:
        """Return the process that a text names, None if it names none."""
        host, _, rest = text.partition(":")
        pid, _, born = rest.partition(":")
        return Process(host, int(pid), born) if host and pid.isdigit() else None

    @property
    def here(self) -> bool:
        """Whether it is, or was, a process on this machine."""
        return self.host == socket.gethostname()

    @property
    def alive(self) -> bool:
        """Whether it may still be working; always true for a process on another machine."""
        if not self.here:
            return True
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass  # it belongs to another user
        return not self.born or _born(self.pid) in (self.born, "")

    def kill(self) -> bool:
        """Kill it, even if it is frozen; return whether that was possible: it runs here and is certainly this one."""
        if not self.here or self.pid == os.getpid() or not self.born or _born(self.pid) != self.born:
            return False
        try:
            os.kill(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return False
        return True


def _born(pid: int) -> str:
    """Return the start of a process, or `ended` for one that has ended and not been waited for."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    state, *others = stat.rpartition(")")[2].split()  # the name in brackets may contain anything; proc(5)
    return "ended" if state in "ZX" else others[18]
