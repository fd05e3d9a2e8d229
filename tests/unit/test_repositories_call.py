"""Git ends with its task, in time, or when it is cancelled; and it gets nothing of the task's environment."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from project_export.errors import GitFailed, GitUnusable
from project_export.repositories import Git, Repository, call, folders
from project_export.repositories.call import CHUNK, Call
from project_export.repositories.words import HEAD, TAIL, without_credentials
from tests.repositories import NAME, blob, filled, git, refs

pytestmark = pytest.mark.heavy

SECONDS = 20.0
LONG = "sleep 301 & sleep 302"
"""Starts another program, and does not end by itself."""
MEMBERS = 5
"""Processes of its group: the launcher, its watcher, the shell and both programs."""
ROOT = os.geteuid() == 0


def started(script: str, seconds: float = SECONDS) -> Call:
    return Call("test", ["/bin/sh", "-c", script], {}, timeout_seconds=seconds, stdin=Path(os.devnull))


def members(leader: int) -> list[int]:
    """Return the processes of a group, except those that are dead."""
    found = []
    for process in psutil.process_iter(["status"]):
        try:
            if os.getpgid(process.pid) == leader and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except ProcessLookupError:
            continue
    return found


def eventually(condition: Callable[[], bool]) -> bool:
    """Return whether a condition becomes true in time."""
    end = time.monotonic() + SECONDS
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def test_when_its_reader_stops_all_that_git_has_started_ends() -> None:
    with started(LONG) as running:
        leader = running._process.pid
        assert eventually(lambda: len(members(leader)) == MEMBERS)
    assert eventually(lambda: not members(leader))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("after", ["", "if not os.fork(): os.execlp('sleep', 'sleep', '300')", "os.fork()"])
def test_when_its_task_is_killed_all_that_git_has_started_ends(number: signal.Signals, after: str) -> None:
    script = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from project_export.repositories.call import Call\n"
        f"running = Call('test', ['/bin/sh', '-c', {LONG!r}], {{}}, timeout_seconds=300, stdin=Path('/dev/null'))\n"
        "print(running._process.pid, flush=True)\n"
        f"{after}\n"
        "time.sleep(300)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as task:
        assert task.stdout is not None
        leader = int(task.stdout.readline())
        assert eventually(lambda: len(members(leader)) == MEMBERS)
        assert eventually(lambda: len(psutil.Process(task.pid).children()) == 1 + bool(after))
        others = [child for child in psutil.Process(task.pid).children() if child.pid != leader]
        task.send_signal(number)
        gone = eventually(lambda: not members(leader))
        for other in others:
            other.kill()
    assert gone


def test_when_a_task_is_killed_while_git_packs_no_git_remains_and_the_next_one_removes_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = filled(tmp_path)
    git("update-ref", "refs/tags/large", blob(path, os.urandom(20 << 20)), at=path)
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from project_export.repositories import Git, Repository\n"
        f"chunks = iter(Repository.open(Path({str(tmp_path)!r}), {NAME!r}, Git(300)).bundle())\n"
        "next(chunks), next(chunks)\n"
        "print('reading', flush=True)\n"
        "time.sleep(300)\n"
    )
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary)}
    words = [sys.executable, "-c", script]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) as task:
        assert task.stdout is not None
        assert task.stdout.readline() == "reading\n"
        children = psutil.Process(task.pid).children(recursive=True)
        assert any(child.name() == "git" for child in children)
        task.kill()
    assert eventually(lambda: not any(child.is_running() for child in children))
    (remains,) = temporary.iterdir()
    folders.sweep(temporary, {os.geteuid()})
    assert remains.exists(), "it is too young"
    monkeypatch.setattr(folders, "NEW_SECONDS", -1.0)
    with Git(SECONDS).folder(temporary) as used:
        assert list(temporary.iterdir()) == [used]
        folders.sweep(temporary, {os.geteuid() + 1})
        folders.sweep(temporary, {os.geteuid()})
        assert used.exists()
    assert refs(path)["refs/tags/large"], "the links in the folder were not followed"


def test_git_does_not_end_with_the_thread_that_has_started_it() -> None:
    found: list[Call] = []
    thread = threading.Thread(target=lambda: found.append(started("sleep 0.3; echo done")))
    thread.start()
    thread.join()
    with found[0] as running:
        assert running.whole() == (0, b"done\n")


def test_without_its_watcher_the_group_is_killed_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call, "PATIENCE_SECONDS", 0.1)
    with started(LONG) as running:
        leader = running._process.pid
        assert eventually(lambda: len(members(leader)) == MEMBERS)
        watcher = next(child for child in psutil.Process(leader).children() if not child.children())
        watcher.kill()
    assert eventually(lambda: not members(leader))


def test_a_call_that_takes_too_long_fails_with_its_words_so_far_and_ends() -> None:
    begun = time.monotonic()
    with started(f"echo working >&2; {LONG}", seconds=0.5) as running, pytest.raises(GitFailed) as failed:
        running.whole()
    assert str(failed.value) == "git test took longer than 0.5 s: working. Raise the time limit of git."
    assert time.monotonic() - begun < SECONDS
    assert eventually(lambda: not members(running._process.pid))


def test_a_call_that_closes_its_output_but_does_not_end_fails_too() -> None:
    with started("exec >&- 2>&-; sleep 300", seconds=0.5) as running, pytest.raises(GitFailed, match="longer than"):
        running.whole()
    assert eventually(lambda: not members(running._process.pid))


def test_a_call_can_be_cancelled_by_another_thread_while_it_is_read() -> None:
    with started(LONG) as running:
        threading.Timer(0.2, running.cancel).start()
        with pytest.raises(GitFailed, match="was cancelled"):
            running.whole()
    assert eventually(lambda: not members(running._process.pid))


def test_a_call_can_be_cancelled_by_a_signal_handler_while_it_is_read() -> None:
    with started(LONG) as running:
        before = signal.signal(signal.SIGALRM, lambda *_: running.cancel())
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            with pytest.raises(GitFailed, match="was cancelled"):
                running.whole()
        finally:
            signal.signal(signal.SIGALRM, before)


def test_output_and_words_of_any_length_are_read_together_and_words_are_bounded() -> None:
    script = "head -c 3000000 /dev/zero | tr '\\0' e >&2; head -c 600000 /dev/zero; echo end >&2; exit 3"
    with started(script) as running:
        assert [len(chunk) for chunk in running.chunks()] == [CHUNK, CHUNK, 600000 - 2 * CHUNK]
        assert running.end() == 3
        assert len(running.said()) < HEAD + TAIL + 20
        assert running.said().endswith("eeeend")


def test_the_answer_to_a_question_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call, "LONGEST_OUTPUT", 1000)
    with started("head -c 1001 /dev/zero") as running, pytest.raises(GitFailed, match="more than 1000 bytes"):
        running.whole()
    with started("head -c 1001 /dev/zero") as running, pytest.raises(GitFailed, match="more than 1000 bytes"):
        list(running.lines())


def test_git_that_was_killed_can_be_tried_again_and_git_that_cannot_be_started_cannot() -> None:
    for script in ("kill -KILL $$", "kill -TERM $$"):
        with started(script) as running, pytest.raises(GitFailed, match="killed by signal"):
            running.whole()
    with started("exit 128") as running:
        assert running.whole() == (128, b"")
    missing = Call("test", ["/nonexistent/git"], {}, timeout_seconds=SECONDS, stdin=Path(os.devnull))
    with missing, pytest.raises(GitUnusable, match="cannot be started"):
        missing.whole()


def test_words_show_no_credentials_and_no_control_characters() -> None:
    words = "fatal: https://jane:p@ss@example.com/x\x1b[31m and s%2Fcret and s/cret\n\r\nremote:\t\u2028hi"
    with started("") as running:
        running.whole()
        running._secrets = ("s/cret",)
        running._words.add(words.encode())
        assert running.said() == ": fatal: https://***@example.com/x [31m and *** and ***; remote:; hi"
    assert without_credentials("ssh://git@host/x", ()) == "ssh://***@host/x"


def test_a_git_that_runs_programs_of_a_repository_is_refused(tmp_path: Path, git_script: Callable[[str], None]) -> None:
    filled(tmp_path)
    assert Repository.open(tmp_path, NAME, Git(SECONDS))
    git_script('unset GIT_NO_LAZY_FETCH; exec "$GIT" "$@"')
    with pytest.raises(GitUnusable, match=r"is too old.*2\.45 or newer"):
        Repository.open(tmp_path, NAME, Git(SECONDS))


def test_without_git_nothing_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GitUnusable, match="no git on the PATH"):
        Repository.open(tmp_path, NAME, Git(SECONDS))


def test_git_gets_nothing_of_the_environment_and_of_the_folder_of_the_task(
    git_script: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AIRFLOW__CORE__FERNET_KEY", "GIT_DIR", "GIT_SSH_COMMAND", "GIT_CONFIG_PARAMETERS", "LD_PRELOAD"):
        monkeypatch.setenv(name, "/nonexistent")
    git_script("env; pwd; ls /proc/self/fd")
    with Git(SECONDS).call("version") as running:
        lines = running.whole()[1].decode().split("\n")
    names = {line.partition("=")[0] for line in lines if "=" in line}
    assert names == {
        *("GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_GLOBAL", "GIT_ATTR_NOSYSTEM", "GIT_NO_LAZY_FETCH"),
        *("GIT_NO_REPLACE_OBJECTS", "GIT_OPTIONAL_LOCKS", "GIT_TERMINAL_PROMPT", "GIT_PAGER", "GIT_ALLOW_PROTOCOL"),
        *("HOME", "LC_ALL", "PATH", "PWD"),
    }
    assert "GIT_ALLOW_PROTOCOL=" in lines
    assert lines[-6:] == ["/", "0", "1", "2", "3", ""], "its folder, and its descriptors with that of ls"


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that every user can enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.skipif(not ROOT, reason="only root can become another user")
def test_where_the_task_is_root_git_runs_as_the_user_that_is_configured(shared: Path) -> None:
    unprivileged = Git(SECONDS, user="nobody")
    path = filled(shared)
    repository = Repository.open(shared, NAME, unprivileged)
    assert repository is not None
    with repository.bundle() as bundle:
        assert b"PACK" in b"".join(bundle)
    assert repository.refs().refs == refs(path)
    word = shutil.which("id") or ""
    identity = unprivileged.identity()
    with Call("id", [word, "-nu"], {}, timeout_seconds=SECONDS, stdin=Path(os.devnull), identity=identity) as running:
        assert running.whole() == (0, b"nobody\n")
    with Call("id", [word, "-nG"], {}, timeout_seconds=SECONDS, stdin=Path(os.devnull), identity=identity) as running:
        assert running.whole() == (0, f"{grp.getgrgid(pwd.getpwnam('nobody').pw_gid).gr_name}\n".encode())
    with pytest.raises(GitUnusable, match="no such user"):
        Git(SECONDS, user="no-such-user").check()


@pytest.mark.skipif(not ROOT, reason="only root can make a file that another user cannot read")
def test_what_the_user_of_git_cannot_read_fails_and_is_not_empty(shared: Path) -> None:
    path = filled(shared)
    (path / "refs" / "heads" / "main").chmod(0o600)
    repository = Repository.open(shared, NAME, Git(SECONDS, user="nobody"))
    assert repository is not None
    with pytest.raises(Exception, match="refs/heads/main"):
        repository.refs()


def test_where_the_task_is_not_root_git_runs_as_its_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert Git(SECONDS, user="no-such-user").identity() == {}
