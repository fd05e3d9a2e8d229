"""The plan of files and repositories: their bytes, and what the importer would refuse."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from project_export.cli import app
from project_export.errors import StoreRefused
from project_export.store import LocalStore
from tests.attic import TREE, Attic
from tests.repositories import blob, filled, git
from tests.runs import started

MIB, GIB = 1 << 20, 1 << 30
Plan = Callable[..., Any]


@pytest.fixture
def attic(database: str, ledger_dsn: str, tmp_path: Path) -> Attic:
    """An attic whose archive has the limits of GitLab, and whose diary is kept."""
    attic = Attic(database, ledger_dsn, tmp_path).make()
    (attic.folder / "attic.yaml").write_text(TREE.replace("format: plain", "format: gitlab"))
    attic.sql("UPDATE attics SET diary = 'diary'")
    return attic


@pytest.fixture
def plan(attic: Attic, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """Runs the command; returns its text, or its values with --json."""

    def plan(*words: str, locations: str = f"boxes={attic.boxes}, shelves={attic.shelves}") -> Any:
        monkeypatch.setenv("PROJECT_EXPORT_LOCATIONS", locations)
        monkeypatch.setenv("PROJECT_EXPORT_GITLAB_VERSION", "18.6.0")
        command = ["plan", "--project-id", "1", "--source", attic.database, "--tree", str(attic.folder / "attic.yaml")]
        result = CliRunner().invoke(app, [*command, *words])
        assert (result.exit_code, result.stderr) == (0, "")
        return json.loads(result.stdout) if "--json" in words else result.stdout

    return plan


def sizes(found: dict[str, Any]) -> dict[str, int | None]:
    return {its["relation"]: its["bytes"] for its in found["relations"]}


def on_disk(*folders: Path) -> int:
    return sum(file.stat().st_size for folder in folders for file in folder.rglob("*") if file.is_file())


def test_the_bytes_of_files_are_those_of_the_rows_and_of_repositories_those_on_disk(attic: Attic, plan: Plan) -> None:
    attic.row("large", 3 * GIB)
    attic.row("small", 5)
    attic.row("unknown", None)
    pool = filled(attic.shelves, "@pools/1.git")
    diary = filled(attic.shelves, "diary.git")
    blob(diary, os.urandom(MIB))
    (diary / "objects" / "info").mkdir(exist_ok=True)
    (diary / "objects" / "info" / "alternates").write_text(f"{pool}/objects\n")
    attic.sql("INSERT INTO letters (attic_id, name) VALUES (1, 'one of many')")
    found = plan("--json")
    bytes_of = on_disk(diary / "objects", pool / "objects")
    assert MIB < bytes_of < 2 * MIB
    assert sizes(found) == {
        "attic": None,  # never analyzed
        "notes": None,
        "things": 3 * GIB + 5,
        "diary": bytes_of,
        "letters": None,
    }
    outside = 3 * GIB + 5 + bytes_of
    assert outside < found["archive_bytes"] < found["unpacked_bytes"] < outside + 10_000
    assert found["warnings"] == []


def test_nothing_is_expected_of_a_location_that_is_not_set_or_of_a_server(attic: Attic, plan: Plan) -> None:
    attic.row("large", 30 * GIB)
    filled(attic.shelves, "diary.git")
    assert sizes(plan("--json", locations=f"shelves={attic.shelves}"))["things"] == 0
    assert sizes(plan("--json", locations=f"boxes={attic.boxes}"))["diary"] == 0
    served = f"boxes={attic.boxes}, shelves=https://git.example/group"
    assert sizes(plan("--json", locations=served))["diary"] is None
    (line,) = (line for line in plan(locations=served).splitlines() if line.lstrip().startswith("diary"))
    assert line.split()[:3] == ["diary", "1", "?"]


def test_a_repository_that_cannot_be_read_is_reported_and_does_not_stop_the_plan(
    attic: Attic, plan: Plan, caplog: pytest.LogCaptureFixture
) -> None:
    path = filled(attic.shelves, "diary.git")
    (path / "shallow").write_text(git("rev-parse", "main", at=path) + "\n")
    assert sizes(plan("--json"))["diary"] is None
    assert f"diary.bundle cannot be measured: {path} is shallow" in caplog.text
    (path / "HEAD").unlink()
    assert sizes(plan("--json"))["diary"] is None
    path.rename(attic.shelves / "elsewhere")
    assert sizes(plan("--json"))["diary"] == 0


REFUSED = {
    5 * GIB + 1: ["an archive of about"],
    25 * GIB + 1: ["about", "an archive of about"],
}


@pytest.mark.parametrize("size", REFUSED)
def test_what_the_importer_would_refuse_is_a_warning_of_the_plan_and_of_create(
    attic: Attic, plan: Plan, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    attic.row("large", size)
    found = plan("--json")
    assert len(found["warnings"]) == len(REFUSED[size])
    assert all(text.startswith(start) for text, start in zip(found["warnings"], REFUSED[size], strict=True))
    assert (
        f"an archive of about {found['archive_bytes']} bytes: GitLab.com refuses more than 5 GiB"
        in found["warnings"][-1]
    )
    assert [line for line in plan().splitlines() if line.startswith("warning: ")] == [
        f"warning: {text}" for text in found["warnings"]
    ]
    monkeypatch.setattr(LocalStore, "free_bytes", lambda _: 1 << 50)
    started(attic.context())
    logged = [record.getMessage() for record in caplog.records if record.name.endswith("steps.create")]
    assert [text for text in logged if text.startswith("expected: ")] == [
        f"expected: {text}" for text in found["warnings"]
    ]


def test_files_and_bundles_need_space(attic: Attic, monkeypatch: pytest.MonkeyPatch) -> None:
    attic.row("large", 100 * MIB)
    monkeypatch.setattr(LocalStore, "free_bytes", lambda _: 200 * MIB - 1)
    with pytest.raises(StoreRefused, match=r"the archive may need 10485\d{4}, and its parts as much"):
        started(attic.context())
    monkeypatch.setattr(LocalStore, "free_bytes", lambda _: 201 * MIB)
    started(attic.context())


def test_files_that_have_grown_since_the_last_archive_need_space_as_well(
    attic: Attic, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx = attic.context()
    last = started(ctx, run_id="dag/last")
    ctx.ledger.jobs.finish(last.job_id, "file:///a", 1000, "ab" * 32, 1)
    monkeypatch.setattr(LocalStore, "free_bytes", lambda _: 2000)
    started(ctx, run_id="dag/same")
    ctx.ledger.jobs.finish(ctx.ledger.queries.job_of_run("dag/same").id, "file:///b", 1000, "ab" * 32, 1)  # type: ignore[union-attr]
    attic.row("new", 1001)
    with pytest.raises(StoreRefused, match="the archive may need 1001,"):
        started(ctx, run_id="dag/grown")
