"""An archive with files and bundles is verified file by file: whatever is removed, cut or swapped is found by name."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from project_export.archive.manifest import Manifest
from project_export.archive.verify import verify
from project_export.cli import app
from project_export.steps import write_relation
from project_export.tree import load
from tests.attic import Attic, Exported
from tests.db.test_bundles import repository


@pytest.fixture(scope="module")
def exported(databases, tmp_path_factory) -> Iterator[Exported]:
    folder = tmp_path_factory.mktemp("attic")
    with databases.new() as source, databases.new() as ledger:
        attic = Attic(source, ledger, folder).make()
        attic.sql("UPDATE attics SET diary = 'diary'")
        repository(attic.shelves / "diary.git", b"1", b"2")
        for name in ("one", "two", "three", "in/a/folder"):
            attic.add(name, name.encode() * 1000)
        attic.add("large", b"large " * (3 << 20))
        yield attic.export(units=4)


def written(files: dict[str, bytes], path: Path) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def found(path: Path, exported: Exported) -> set[str]:
    tree = load(str(Path(exported.ctx.settings.tree)))
    report = verify(path, exported.manifest, tree=tree)
    return {finding.where for finding in report.problems} - {path.name}


NAMES = ("things/one", "things/in/a/folder", "things/large", "diary.bundle")


def test_the_archive_is_what_its_manifest_says(exported):
    tree = load(str(Path(exported.ctx.settings.tree)))
    report = verify(exported.path, exported.manifest, tree=tree)
    assert (report.problems, report.warnings, report.remarks) == ((), (), ())
    assert {name: count.number for name, count in report.files.items()} == {
        "things": 5,
        "diary.bundle": 1,
        "things.json": 1,
    }
    assert report.files["things"].bytes == 18 * (1 << 20) + sum(map(len, ("one", "two", "three", "in/a/folder"))) * 1000


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_is_removed_is_found(exported, tmp_path, name):
    files = exported.contents()
    del files[name]
    assert found(written(files, tmp_path / "a.tar.gz"), exported) == {name}


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_is_cut_is_found(exported, tmp_path, name):
    files = exported.contents()
    files[name] = files[name][:-1]
    assert found(written(files, tmp_path / "a.tar.gz"), exported) == {name}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("at", [0, -1])
def test_a_changed_byte_is_found(exported, tmp_path, name, at):
    files = exported.contents()
    data = bytearray(files[name])
    data[at] ^= 1
    files[name] = bytes(data)
    assert found(written(files, tmp_path / "a.tar.gz"), exported) == {name}


def test_two_files_that_are_swapped_are_found(exported, tmp_path):
    files = exported.contents()
    files["things/one"], files["things/two"] = files["things/two"], files["things/one"]
    assert found(written(files, tmp_path / "a.tar.gz"), exported) == {"things/one", "things/two"}


def test_a_file_that_was_added_is_found(exported, tmp_path):
    files = {**exported.contents(), "things/four": b"4"}
    tree = load(str(Path(exported.ctx.settings.tree)))
    report = verify(written(files, tmp_path / "a.tar.gz"), exported.manifest, tree=tree)
    assert [finding.where for finding in report.remarks] == ["things/four"]


def test_a_file_that_was_left_out_is_a_warning_that_strict_counts(database, ledger_dsn, tmp_path, monkeypatch):
    attic = Attic(database, ledger_dsn, tmp_path).make()
    attic.row("gone", 5)
    exported = attic.export(missing_files="report")
    monkeypatch.setenv("PROJECT_EXPORT_TREE", str(tmp_path / "attic.yaml"))
    lenient = CliRunner().invoke(app, ["verify", str(exported.path)])
    assert (
        lenient.exit_code,
        "things/gone: left out by the export: the source has no such file" in lenient.stdout,
    ) == (
        0,
        True,
    )
    assert CliRunner().invoke(app, ["verify", str(exported.path), "--strict"]).exit_code == 1
    assert Manifest.from_json(exported.manifest.to_json()) == exported.manifest


def test_a_relation_of_files_can_be_written_alone(exported, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path, written = write_relation(exported.ctx, exported.job_id, "things")
    assert (path, path.stat().st_size) == (tmp_path / "things.tar.gz", written.bytes)
    with tarfile.open(path) as tar:
        found = {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}
    expected = exported.contents("things/")
    assert found == {f"./things/{name}": data for name, data in expected.items()}

    path, _ = write_relation(exported.ctx, exported.job_id, "diary")
    assert path == tmp_path / "diary.bundle.gz"
    assert gzip.decompress(path.read_bytes()) == exported.contents()["diary.bundle"]

    path, _ = write_relation(exported.ctx, exported.job_id, "notes", tmp_path / "mine.gz")
    assert gzip.decompress(path.read_bytes()) == b'{"text":"mind the beam"}\n'
