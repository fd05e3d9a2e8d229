"""One call of git. All its processes end with it, with this process, and with its time limit.

A shell starts git in a process group of its own. Beside it a watcher reads from a pipe that only this process holds
open: when this process ends, even by SIGKILL, or closes the pipe, the watcher kills the group. A signal for the death
of the parent (PR_SET_PDEATHSIG) would miss the programs that git starts, and would end git with the thread that
started it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, TypedDict
from weakref import WeakSet

from project_export.errors import GitFailed, GitUnusable
from project_export.repositories.words import Words

CHUNK = 256 << 10
PATIENCE_SECONDS = 5.0
"""How long the watcher may take to kill the group; then this process does it."""
DYING_SECONDS = 0.5
"""How long to wait for the others of the group. Without an init process, they stay in the table of processes."""
LONGEST_WAIT_SECONDS = 3600.0
LONGEST_OUTPUT = 16 << 20

NOT_STARTED = (126, 127)
FIRST_SIGNAL = 130
"""The shell reports 128 + n for signal n. Git itself exits with 128, and with 129 (SIGHUP) for wrong usage."""

# Its arguments: the file that git reads as stdin, git, and git's arguments. Its stdin is the pipe, which becomes number
# 3, because a command in the background gets another stdin.
_LAUNCHER = """\
exec 3<&0
{ read -r _; kill -s KILL 0; } <&3 >/dev/null 2>&1 &
input=$1
shift
"$@" <"$input" 3<&-
code=$?
kill -s KILL $!
exit $code
"""

_held: WeakSet[IO[bytes]] = WeakSet()
"""The pipes that this process holds open. A process that is forked from it must not hold them."""


def _release() -> None:
    for pipe in list(_held):
        pipe.close()


os.register_at_fork(after_in_child=_release)


class Identity(TypedDict, total=False):
    """The user to run a process as, in the words of `subprocess.Popen`; empty: as this process."""

    user: int
    group: int
    extra_groups: list[int]


class Call:
    """A running git; a context manager that ends it, with everything it has started.

    name: of git's command, for messages. command: the program and its arguments. stdin: a file that git reads.
    timeout_seconds: from now to its end. secrets, shown: see `Words.text`. running: has the call until it has ended.
    Raises GitUnusable if it cannot be started.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        environment: Mapping[str, str],
        *,
        timeout_seconds: float,
        stdin: Path,
        identity: Identity | None = None,
        secrets: Iterable[str] = (),
        shown: Mapping[str, str] | None = None,
        running: set[Call] | None = None,
    ) -> None:
        self._name = name
        self._secrets = tuple(secrets)
        self._shown = dict(shown or {})
        self._seconds = timeout_seconds
        self._deadline = time.monotonic() + timeout_seconds
        self._words = Words()
        self._cancelled = False
        self._running = set() if running is None else running
        watched, held = os.pipe()
        self._held = os.fdopen(held, "wb", buffering=0)  # `kill` closes it
        _held.add(self._held)
        try:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _LAUNCHER, "sh", stdin, *command],
                stdin=watched,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                cwd="/",
                env=dict(environment),
                start_new_session=True,
                **(identity or {}),
            )
        except OSError as error:
            self._held.close()
            raise GitUnusable(f"git cannot be started: {error}. Install git and /bin/sh for the tasks.") from error
        finally:
            os.close(watched)
        self._running.add(self)

    def __enter__(self) -> Call:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        for stream in (self._process.stdout, self._process.stderr):
            if stream:
                stream.close()

    def kill(self) -> None:
        """Kill the whole group and wait for its end; nothing happens if git has ended."""
        self._running.discard(self)
        ended = self._process.poll() is not None
        self._held.close()
        if ended:
            return
        try:
            self._process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:  # the watcher is dead
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        end = time.monotonic() + DYING_SECONDS
        with contextlib.suppress(ProcessLookupError, PermissionError):
            while time.monotonic() < end:
                os.killpg(self._process.pid, 0)
                time.sleep(0.005)

    def cancel(self) -> None:
        """Kill the whole group from another thread or a signal handler; the reader gets GitFailed."""
        self._cancelled = True
        self._held.close()

    def chunks(self) -> Iterator[bytes]:
        """Yield what git writes to stdout in chunks of CHUNK bytes; the last one may be shorter.

        Raises GitFailed when the time is over or git was cancelled.
        """
        stdout, stderr = self._process.stdout, self._process.stderr
        assert stdout is not None and stderr is not None
        _widen(stdout)
        chunk = bytearray()
        with selectors.DefaultSelector() as selector:
            for stream in (stdout, stderr):
                selector.register(stream, selectors.EVENT_READ)
            while selector.get_map():
                for key, _ in selector.select(min(self._left(), LONGEST_WAIT_SECONDS)):
                    data = os.read(key.fd, CHUNK - len(chunk) if key.fileobj is stdout else CHUNK)
                    if not data:
                        selector.unregister(key.fileobj)
                    elif key.fileobj is stderr:
                        self._words.add(data)
                    else:
                        chunk += data
                        if len(chunk) == CHUNK:
                            yield bytes(chunk)
                            chunk.clear()
        if chunk:
            yield bytes(chunk)

    def lines(self) -> Iterator[bytes]:
        """Yield the lines of stdout, without their ends; see `chunks`."""
        rest = b""
        for chunk in self.chunks():
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines
            if len(rest) > LONGEST_OUTPUT:
                raise self._too_much()
        if rest:
            yield rest

    def whole(self) -> tuple[int, bytes]:
        """Return git's exit code and what it writes to stdout, to be called once; see `chunks` and `end`.

        Raises GitFailed also if it writes more than LONGEST_OUTPUT bytes.
        """
        output = bytearray()
        for chunk in self.chunks():
            output += chunk
            if len(output) > LONGEST_OUTPUT:
                raise self._too_much()
        return self.end(), bytes(output)

    def end(self) -> int:
        """Return git's exit code, after stdout has been read to its end.

        Raises GitFailed when it was killed, was cancelled or takes too long, GitUnusable if git could not be started.
        """
        try:
            code = self._process.wait(self._left())
        except subprocess.TimeoutExpired:
            self._left()
            raise
        if self._cancelled:
            raise GitFailed(f"git {self._name} was cancelled.")
        if code < 0 or code >= FIRST_SIGNAL:
            number = -code if code < 0 else code - 128
            raise GitFailed(
                f"git {self._name} was killed by signal {number}{self.said()}. "
                "Was memory short? It may work later, or on a larger machine."
            )
        if code in NOT_STARTED:
            raise GitUnusable(f"git cannot be started{self.said()}. Install git, and let its user execute it.")
        return code

    def said(self) -> str:
        """Return git's words so far for the middle of a message: `: <words>`, or nothing."""
        words = self._words.text(self._secrets, self._shown).rstrip(".")
        return f": {words}" if words else ""

    def _too_much(self) -> GitFailed:
        return GitFailed(f"git {self._name} wrote more than {LONGEST_OUTPUT} bytes, too much for one answer.")

    def _left(self) -> float:
        """Return the seconds that remain. Raises GitFailed when none do; the group is killed by `__exit__`."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise GitFailed(
                f"git {self._name} took longer than {self._seconds:g} s{self.said()}. Raise the time limit of git."
            )
        return left


def _widen(stream: IO[bytes]) -> None:
    """Enlarge a pipe to one chunk where the system can, so that git and its reader wait less for each other."""
    number = getattr(fcntl, "F_SETPIPE_SZ", None)
    if number is not None:
        with contextlib.suppress(OSError):  # the user has used up the space for pipes
            fcntl.fcntl(stream, number, CHUNK)
