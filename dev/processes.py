"""Find and end processes by their working folder.

A server's folder reliably identifies its processes. Pids are reused, process titles and environments get overwritten,
and orphans lose their parents and groups, but a daemon and all its children keep their working folder.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import psutil


def working_in(folder: Path, program: Path) -> list[psutil.Process]:
    """Return the running processes whose working folder is `folder` and whose executable is `program`."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(folder) and Path(process.exe()) == program:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def end(folder: Path, program: Path, grace_seconds: float) -> list[psutil.Process]:
    """Terminate these processes, kill those that still run after the grace, and return any that survive even that."""
    deadline = time.monotonic() + grace_seconds
    _send(working_in(folder, program), signal.SIGTERM)
    while left := working_in(folder, program):
        if time.monotonic() > deadline:
            break
        psutil.wait_procs(left, timeout=0.2)
    deadline = time.monotonic() + 10
    # Listed again each time, because a process may have started another just before it was killed.
    while (left := working_in(folder, program)) and time.monotonic() < deadline:
        _send(left, signal.SIGKILL)
        psutil.wait_procs(left, timeout=0.2)
    return left


def run(
    command: Sequence[str | os.PathLike[str]],
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    output: int | IO[str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end in a separate session, so that a Ctrl-C only reaches it through us.

    If we are interrupted, the command is interrupted too (SIGINT to its group, SIGKILL after 10 s) and all its
    processes have ended before the exception propagates.
    output: where stdout and stderr go; subprocess.PIPE returns both together as stdout.
    """
    process = subprocess.Popen(
        command,
        env=environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output is not None else None,
        text=True,
        start_new_session=True,
    )
    try:
        stdout, _ = process.communicate()
    except BaseException:
        _signal_group(process.pid, signal.SIGINT)
        try:
            process.communicate(timeout=10)
        finally:
            _signal_group(process.pid, signal.SIGKILL)
            process.wait()
            _wait_for_group(process.pid, timeout_seconds=10)
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, stdout)


def _send(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return


def _wait_for_group(group: int, timeout_seconds: float) -> None:
    """Wait until no process of the group runs: a kill takes effect later, and we cannot reap grandchildren."""
    deadline = time.monotonic() + timeout_seconds
    while _runs(group) and time.monotonic() < deadline:
        time.sleep(0.01)


def _runs(group: int) -> bool:
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                return True
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return False
