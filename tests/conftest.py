"""One PostgreSQL for the whole test run, and which worker runs which tests."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from dev.postgres import Server

REPO = Path(__file__).resolve().parents[1]
SERVER_DIR = "PROJECT_EXPORT_TEST_SERVER"
AIRFLOW_TESTS = ("tests/dags/", "tests/web/real/")
FACTS = "PROJECT_EXPORT_FACTS"
MEMORY, ENOUGH = Path("/dev/shm"), 4 << 30

# An assertion in a helper shows its values, like one in a test. This only works for modules that are imported later, so
# this module imports nothing from `tests`.
pytest.register_assert_rewrite("tests")
pytest_plugins = [
    "tests.databases",
    "tests.git_server",
    "tests.known_facts",
    "tests.ledgers",
    "tests.receiver",
    "tests.repositories",
    "tests.sample_repositories",
    "tests.stages",
]


def memory() -> Path | None:
    """Return a folder in memory with enough space for the server, where a database is copied in a tenth of the time."""
    return MEMORY if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ENOUGH else None


def pytest_configure(config: pytest.Config) -> None:
    """The process that was started by a person names the server's folder, and stops the server when all is over."""
    if hasattr(config, "workerinput"):
        return
    for name in [name for name in os.environ if name.startswith("PROJECT_EXPORT_") and name != FACTS]:
        del os.environ[name]  # the settings of whoever runs the tests are not theirs
    folder = Path(tempfile.mkdtemp(prefix="project-export-tests-", dir=memory()))
    os.environ[SERVER_DIR] = str(folder)
    for number in (signal.SIGINT, signal.SIGTERM):  # a background run inherits SIGINT ignored
        signal.signal(number, signal.default_int_handler)

    def clean_up() -> None:
        Server(folder, durable=False).stop()
        shutil.rmtree(folder)

    config.add_cleanup(clean_up)


class Together(LoadScopeScheduling):
    """Gives a file of tests to one worker, and all tests of the one real Airflow to one worker."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::")[0]
        return "airflow" if file.startswith(AIRFLOW_TESTS) else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Together:
    return Together(config, log)


@pytest.fixture(scope="session")
def repo() -> Path:
    return REPO


@pytest.fixture(scope="session")
def server() -> Server:
    """The test run's PostgreSQL: whichever worker asks first starts it, and all share it."""
    server = Server(Path(os.environ[SERVER_DIR]), durable=False)
    server.start()
    return server
