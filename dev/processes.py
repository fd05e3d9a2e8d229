"""Finding and ending processes by the folder they work in.

A server's folder tells for certain whose a process is: pids are given out again, process titles and environments get
overwritten, orphans lose their parents and groups; the working folder of a daemon and of all its children stays.
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
    """Terminate these processes, kill what is left after the grace, and return what even that did not end."""
    deadline = time.monotonic() + grace_seconds
    _send(working_in(folder, program), signal.SIGTERM)
    while left := working_in(folder, program):
        if time.monotonic() > deadline:
            break
        psutil.wait_procs(left, timeout=0.2)
    deadline = time.monotonic() + 10
    # Asked again each time: a process may have started another one just before it was killed.
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
    """Run a command to its end in a session of its own, so that only we decide what a Ctrl-C does to it.

    When we are interrupted, so is the command (SIGINT to its group, SIGKILL after 10 s), before the exception goes on;
    none of its processes works any more by then.
    output: where stdout and stderr go; subprocess.PIPE gives them back together as stdout.
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
    """Wait until nothing of the group runs: a kill only takes effect later, and grandchildren are not ours to reap."""
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
