from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dev import processes

PYTHON = Path(sys.executable).resolve()
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
PARENT = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', sys.argv[1]], start_new_session=True)"


def test_a_stubborn_orphan_in_another_session_is_found_by_its_folder_and_ended(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, STUBBORN], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "up\n"
        assert parent.wait(timeout=30) == 0
        assert len(processes.working_in(tmp_path, PYTHON)) == 1
        assert processes.end(tmp_path, PYTHON, grace_seconds=0.5) == []
        assert processes.working_in(tmp_path, PYTHON) == []


def test_a_process_of_another_program_in_the_folder_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"], cwd=tmp_path) as other:
        assert processes.end(tmp_path, PYTHON, grace_seconds=0.5) == []
        assert other.poll() is None
        other.kill()


def test_an_interrupted_command_is_ended_with_all_its_children(tmp_path: Path) -> None:
    script = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', sys.argv[1]]); time.sleep(60)"
    ready = tmp_path / "ready"

    def interrupt_when_ready() -> None:
        with ready.open() as lines:
            lines.readline()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    subprocess.run(["mkfifo", str(ready)], check=True)
    threading.Thread(target=interrupt_when_ready, daemon=True).start()
    with pytest.raises(KeyboardInterrupt), ready.open("w") as output:
        processes.run([sys.executable, "-c", script, STUBBORN], folder=tmp_path, output=output)
    assert processes.working_in(tmp_path, PYTHON) == []
