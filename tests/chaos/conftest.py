"""Faults, injected into real processes: `pytest tests/chaos`. Other test runs leave them out.

Each test is marked with the number and the name of its fault. A table at the end reports what happened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dev.postgres import Server
from tests.chaos.environment import Environment
from tests.chaos.faulty_airflow import FaultyAirflow
from tests.chaos.invariants import Undisturbed
from tests.receiver import receiving

FOLDER = Path(__file__).parent
Happened = Callable[[str], None]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "fault(number, name): the fault that a test injects")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Sort the faults by number, and leave them out unless this folder was named."""
    mine = [item for item in items if FOLDER in item.path.parents]
    others = [item for item in items if FOLDER not in item.path.parents]
    for item in mine:
        number, name = item.get_closest_marker("fault").args  # type: ignore[union-attr] - each test here has it
        item.user_properties.append(("fault", (number, name)))
    mine.sort(key=lambda item: item.user_properties[0][1][0])
    asked = any(FOLDER.name in Path(arg.partition("::")[0]).parts for arg in config.args)
    if not asked:
        config.hook.pytest_deselected(items=mine)
    items[:] = [*others, *mine] if asked else others


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the table: fault, what happened, verdict."""
    rows: dict[str, list[str]] = {}
    for outcome in ("passed", "failed", "error", "skipped", "xfailed"):
        for report in terminalreporter.stats.get(outcome, []):
            said = getattr(report, "user_properties", ())
            for number, name in (value for key, value in said if key == "fault"):
                happened = "; ".join(str(value) for key, value in said if key == "happened")
                if outcome == "skipped":
                    happened = str(report.longrepr[2])
                rows[report.nodeid] = [
                    number,
                    name,
                    happened,
                    outcome if outcome in ("passed", "skipped", "xfailed") else "FAILED",
                ]
    if rows:
        terminalreporter.section("faults")
        for number, name, happened, verdict in sorted(rows.values()):
            terminalreporter.write_line(f"{number}  {verdict:<7}  {name}\n{'':14}{happened}")


@pytest.fixture
def happened(request: pytest.FixtureRequest) -> Happened:
    """Adds what happened to the table."""
    return lambda text: request.node.user_properties.append(("happened", text))


@pytest.fixture(scope="session")
def undisturbed(
    generated: str, generated_locations: str, tmp_path_factory: pytest.TempPathFactory, facts: Path
) -> Undisturbed:
    """The undisturbed exports of the generated projects."""
    return Undisturbed(generated, tmp_path_factory.mktemp("undisturbed"), facts, generated_locations)


@pytest.fixture
def environment(
    generated_copy: str, ledger_dsn: str, tmp_path: Path, undisturbed: Undisturbed, monkeypatch: pytest.MonkeyPatch
) -> Environment:
    """Two small projects with repositories and files, and a ledger in PostgreSQL."""
    monkeypatch.setenv("PROJECT_EXPORT_LOCATIONS", undisturbed.locations)  # also for the victims
    return Environment(generated_copy, tmp_path / "store", undisturbed, ledger_dsn)


@pytest.fixture
def shell_environment(
    generated_copy: str, tmp_path: Path, undisturbed: Undisturbed, monkeypatch: pytest.MonkeyPatch
) -> Environment:
    """Two small projects with repositories and files, and the ledger of the shell's command."""
    monkeypatch.setenv("PROJECT_EXPORT_LOCATIONS", undisturbed.locations)
    return Environment(generated_copy, tmp_path / "store", undisturbed)


@pytest.fixture(scope="session")
def faulty_airflow(server: Server, tmp_path_factory: pytest.TempPathFactory, facts: Path) -> Iterator[FaultyAirflow]:
    """The real Airflow of all faults, and a source on a server of its own."""
    folder = tmp_path_factory.mktemp("faulty_airflow")
    source_server = Server(tmp_path_factory.mktemp("source"), durable=True)
    with receiving() as receiver:
        source_server.start()
        faulty_airflow = FaultyAirflow(folder, server, receiver, source_server, facts)
        try:
            faulty_airflow.start()
            yield faulty_airflow
        finally:
            faulty_airflow.stop()
            source_server.stop()
