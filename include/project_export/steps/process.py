"""A process, by what tells it from every other one: its machine, its number, and when it began."""

from __future__ import annotations

import os
import signal
import socket
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """born: in ticks since the machine's boot, nothing where the machine does not tell. As text: host:pid:born."""

    host: str
    pid: int
    born: str

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}:{self.born}"

    @staticmethod
    def this() -> Process:
        """Return the process that asks."""
        return Process(socket.gethostname(), os.getpid(), _born(os.getpid()))

    @staticmethod
    def parse(text: str) -> Process | None:
        """Return the process that a text tells; None when it tells none."""
        host, _, rest = text.partition(":")
        pid, _, born = rest.partition(":")
        return Process(host, int(pid), born) if host and pid.isdigit() else None

    @property
    def here(self) -> bool:
        """Whether it is, or was, a process of this machine."""
        return self.host == socket.gethostname()

    @property
    def alive(self) -> bool:
        """Whether it may still be working: on another machine, for all that is known here."""
        if not self.here:
            return True
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass  # it is another user's
        return not self.born or _born(self.pid) in (self.born, "")

    def kill(self) -> bool:
        """End it at once, even if it is frozen; return whether that was possible: from this machine, and surely it."""
        if not self.here or self.pid == os.getpid() or not self.born or _born(self.pid) != self.born:
            return False
        try:
            os.kill(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return False
        return True


def _born(pid: int) -> str:
    """Return when a process began. One that has ended, and only waits to be asked how, has no beginning any more."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    state, *others = stat.rpartition(")")[2].split()  # the name in brackets may hold anything; proc(5)
    return "ended" if state in "ZX" else others[18]
