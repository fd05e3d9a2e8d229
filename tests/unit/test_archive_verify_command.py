from __future__ import annotations

import json
from pathlib import Path

import pytest

from project_export.store import MANIFEST
from tests import commands
from tests.commands import Ran
from tests.unit.archive_files import good_files, packed
from tests.unit.archive_samples import sample


def run(*arguments: object) -> Ran:
    return commands.run(["verify", *map(str, arguments)])


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "project.tar.gz"
    path.write_bytes(packed(good_files()))
    return path


def test_a_whole_archive_ends_with_0_and_tells_its_records(archive: Path) -> None:
    result = run(archive, "--gitlab-limits")
    assert result.exit_code == 0
    assert "         2  issues\n" in result.stdout
    assert result.stdout.endswith(f"whole: {archive.stat().st_size} bytes\n")
    assert result.stderr == ""


def test_a_broken_archive_ends_with_1_and_tells_its_problems(archive: Path) -> None:
    archive.write_bytes(archive.read_bytes()[:-1])
    result = run(archive)
    assert result.exit_code == 1
    assert "problem: project.tar.gz: The file ends in the middle of the gzip stream" in result.stdout
    assert "[damaged]" in result.stdout


def test_the_report_is_json_on_demand(archive: Path) -> None:
    archive.write_bytes(packed({**good_files(), "tree/project/issues.ndjson": b'{"state":1}\n', "README": b""}))
    result = run(archive, "--json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    findings = {"problems", "warnings", "remarks", "omissions"}
    assert report.keys() == {"ok", "records", "files", "bytes", "unpacked", "version"} | findings
    assert (report["ok"], report["version"], report["records"]["issues"]) == (False, "18.6.0", 1)
    assert report["problems"] == [
        {
            "code": "type",
            "where": "tree/project/issues.ndjson:1",
            "message": "issues.state: a number instead of the name of a code",
            "count": 1,
        }
    ]
    assert [remark["where"] for remark in report["remarks"]] == ["README"]


def test_warnings_are_printed_and_fail_on_demand(archive: Path) -> None:
    files = {**good_files(), "tree/project/issues.ndjson": b'{"a_new_key":1}\n'}
    archive.write_bytes(packed(files))
    result = run(archive)
    assert result.exit_code == 0
    assert (
        "warning: tree/project/issues.ndjson:1: issues.a_new_key: the importer does not know this key" in result.stdout
    )
    assert f"whole: {archive.stat().st_size} bytes" in result.stdout
    assert run(archive, "--strict").exit_code == 1
    archive.write_bytes(packed(good_files()))
    assert run(archive, "--strict").exit_code == 0


def test_the_manifest_beside_the_archive_is_taken_and_another_on_demand(tmp_path: Path) -> None:
    whole = sample()
    (tmp_path / "project.tar.gz").write_bytes(whole.data)
    (tmp_path / MANIFEST).write_text(whole.manifest.to_json())
    result = run(tmp_path / "project.tar.gz")
    assert (result.exit_code, f"as {tmp_path / MANIFEST} says" in result.stdout) == (0, True)
    (tmp_path / "other.json").write_text(whole.manifest.to_json().replace(whole.manifest.archive.sha256, "0" * 64))
    result = run(tmp_path / "project.tar.gz", "--manifest", tmp_path / "other.json")
    assert (result.exit_code, "[manifest]" in result.stdout) == (1, True)


@pytest.mark.parametrize(
    "options", [["--manifest", "no-such.json"], ["--manifest", "."], ["--tree", "no-such-tree"], ["--no-such-option"]]
)
def test_wrong_use_ends_with_2(archive: Path, options: list[str]) -> None:
    assert run(archive, *options).exit_code == 2


def test_what_cannot_be_read_ends_with_2(tmp_path: Path) -> None:
    (tmp_path / "manifest").write_text("{}")
    for result in (run(tmp_path / "none.tar.gz"), run(tmp_path), run()):
        assert result.exit_code == 2
    none = tmp_path / "none.tar.gz"
    assert run(none).stderr == f"error: {none}: No such file or directory\n"
    (tmp_path / "a.gz").write_bytes(b"")
    result = run(tmp_path / "a.gz", "--manifest", tmp_path / "manifest")
    assert (result.exit_code, "This is not the manifest" in result.stderr) == (2, True)
