"""Hostile names, files and repositories in a source: none leads an export astray, or a reader of its archive."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from project_export.archive.manifest import Manifest
from project_export.errors import RelationsFailed
from tests.attic import Exported
from tests.chaos.attics import FaultyAttic
from tests.chaos.conftest import Happened
from tests.chaos.environment import Environment
from tests.chaos.invariants import Undisturbed
from tests.databases import locations_of
from tests.repositories import NAME, cloned, filled, refs
from tests.runs import merge, path_of, started, work
from tests.unit.repository_breaks import BREAKS, OUTSIDE, POOL, Break, Place

SECRET = b"S3cr3t"
REFUSED = (
    "../../../../outside", "/etc/passwd", "secret/../../../outside", "secret//outside", "secret/.", "secret/..",
    "C:\\autoexec.bat", "secret/a\\b", "secret/new\nline", "secret/tab\there", "secret/\x7f", "secret/" + "y" * 300,
    "secret/CASE",
)  # fmt: skip
"""Paths of uploads whose name would be dangerous, or would replace another file, where the archive is unpacked."""
SAFE = (
    "secret/case",
    "secret/trailing dot.",
    "secret/$(touch x);`y`",
    "secret/con",
    "secret/-rf",
    "secret/~root",
    "secret/ö \u202e",
)
ENOUGH_SECONDS = 60


@pytest.fixture
def files(
    environment: Environment, generated_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A folder of the environment's repositories and files, which the test may change."""
    files = tmp_path / "files"
    shutil.copytree(generated_files, files)
    locations = locations_of(files)
    monkeypatch.setenv("PROJECT_EXPORT_LOCATIONS", locations)
    (tmp_path / "outside").write_bytes(SECRET)
    environment.undisturbed = Undisturbed(
        environment.source, tmp_path / "same", environment.undisturbed.facts, locations
    )
    return files


def uploads(environment: Environment, files: Path) -> dict[str, Path]:
    """Return the file of each upload of project 1, by its path in the database."""
    with psycopg.connect(environment.source) as conn:
        rows = conn.execute(
            "SELECT path FROM uploads WHERE model_type = 'Project' AND model_id = 1 AND uploader <> 'AvatarUploader'"
        ).fetchall()
    (folder,) = (path for path in files.glob("uploads/@hashed/*/*/*") if all((path / row[0]).exists() for row in rows))
    return {path: folder / path for (path,) in rows}


def manifest_of(archive: Path) -> Manifest:
    return Manifest.from_json(archive.with_name("project.manifest.json").read_bytes())


def missing(archive: Path, relation: str) -> dict[str, str]:
    """Return the files that a relation lacks, and why."""
    (found,) = (one for one in manifest_of(archive).relations if one.relation == relation)
    return {file.name: file.why for file in found.missing}


def names(archive: Path) -> set[str]:
    with tarfile.open(archive) as tar:
        return {member.name.removeprefix("./") for member in tar if member.isfile()}


def unpacked(archive: Path, folder: Path) -> Iterator[str]:
    """Unpack an archive with each program; yield the program once it is shown that nothing is outside its folder."""
    programs = {"tar": ["tar", "-xzf"], "bsdtar": ["bsdtar", "-xf"]}
    for program, command in programs.items():
        if shutil.which(program):
            inside = folder / program / "in" / "here"
            inside.mkdir(parents=True)
            subprocess.run([*command, archive], cwd=inside, check=True)
            found = {str(path.relative_to(inside)) for path in (folder / program).rglob("*") if path.is_file()}
            assert found == names(archive)
            yield program


@pytest.mark.fault("F20", "hostile names of uploads, an LFS object and the avatar")
def test_a_hostile_name_is_left_out_and_reported(
    environment: Environment, files: Path, tmp_path: Path, happened: Happened
) -> None:
    one = next(iter(uploads(environment, files).values()))
    folder = one.parents[1]
    with psycopg.connect(environment.source) as conn:
        for path in (*SAFE, *REFUSED):
            conn.execute(
                "INSERT INTO uploads (size, path, model_type, model_id, uploader, store, created_at)"
                " VALUES (6, %s, 'Project', 1, 'FileUploader', 1, now())",
                [path],
            )
        conn.execute("UPDATE projects SET avatar = '../../../outside' WHERE id = 1")
        conn.execute(
            "WITH object AS (INSERT INTO lfs_objects (oid, size) VALUES ('../../outside', 6) RETURNING id)"
            " INSERT INTO lfs_objects_projects (project_id, lfs_object_id) SELECT 1, id FROM object"
        )
    (folder / "secret").mkdir()
    for path in (*SAFE, "secret/CASE", "secret/a\\b", "secret/new\nline", "secret/tab\there", "secret/\x7f"):
        (folder / path).write_bytes(b"a file")
    with environment.surviving():
        ctx = environment.context(units=1)
        created = started(ctx)
        assert work(ctx, created) == []
        archive = path_of(merge(ctx, created))
        before = environment.offered(1)
    assert before.id == created.job_id
    expected = {f"uploads/{'/'.join(path.split('/')[-2:])}" for path in REFUSED}
    assert missing(archive, "uploads").keys() == expected
    assert missing(archive, "lfs_objects").keys() == {"lfs-objects/../../outside"}
    assert missing(archive, "avatar").keys() == {"avatar/../../../outside"}
    assert {f"uploads/{path}" for path in SAFE} <= names(archive)
    with tarfile.open(archive) as tar:
        assert not any(SECRET in tar.extractfile(member).read() for member in tar if member.isfile())  # type: ignore[union-attr]
    by = ", ".join(unpacked(archive, tmp_path / "unpacked"))
    happened(
        f"{len(REFUSED) + 2} names left out and listed, {len(SAFE)} odd ones kept; nothing outside the folder when"
        f" unpacked by {by}; check_archive.py --strict passes"
    )


@pytest.mark.fault("F20", "hostile paths of repositories")
@pytest.mark.parametrize("path", ["../../../outside", "/etc", "@hashed/../../outside", "a\nb", "x" * 300])
def test_a_hostile_path_of_a_repository_fails_its_relation(
    environment: Environment, files: Path, happened: Happened, path: str
) -> None:
    filled(files.parent, "outside.git")
    with psycopg.connect(environment.source) as conn:
        conn.execute("UPDATE project_repositories SET disk_path = %s WHERE project_id = 1", [path])
    good = environment.offered(1)
    ctx = environment.context(units=1)
    created = started(ctx, "repository")
    work(ctx, created)
    with pytest.raises(RelationsFailed) as raised:
        merge(ctx, created)
    failures = {failure.relation: failure for failure in raised.value.failures}
    assert failures["repository"].code == "RepositoryRefused"
    assert f"{path + '.git'!r} is not the name of a repository" in failures["repository"].message
    assert environment.offered(1) == good
    environment.assert_nothing_left()
    happened(f"{path[:20]!r}: refused by name, nothing read outside, the archive of before stays")


@pytest.mark.fault("F21", "links, FIFOs, devices and folders instead of files")
def test_what_is_not_a_file_is_neither_followed_nor_opened_and_is_reported(
    environment: Environment, files: Path, tmp_path: Path, happened: Happened, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = uploads(environment, files)
    extra = [f"special/{number}" for number in range(6 - len(found))]
    folder = next(iter(found.values())).parents[1]
    (folder / "special").mkdir()
    with psycopg.connect(environment.source) as conn:
        for path in extra:
            (folder / path).write_bytes(b"a file")
            conn.execute(
                "INSERT INTO uploads (size, path, model_type, model_id, uploader, store, created_at)"
                " VALUES (6, %s, 'Project', 1, 'FileUploader', 1, now())",
                [path],
            )
    outside = tmp_path / "outside"

    def device(path: Path) -> None:
        if os.geteuid() == 0:
            os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))  # /dev/zero never ends
        else:
            os.mkfifo(path)

    def linked_folder(path: Path) -> None:
        path.parent.rename(tmp_path / "moved")
        path.parent.symlink_to(tmp_path / "moved")

    changes = {
        "a link": lambda path: path.symlink_to(outside),
        "a link to a device": lambda path: path.symlink_to("/dev/zero"),
        "a FIFO": os.mkfifo,
        "a device": device,
        "a folder": lambda path: path.mkdir(),
    }
    paths = {**found, **{path: folder / path for path in extra}}
    spoilt = dict(zip(changes, list(paths)[::-1], strict=False))
    for name, path in spoilt.items():
        paths[path].unlink()
        changes[name](paths[path])
    linked = next(path for path in paths if path not in spoilt.values())
    linked_folder(paths[linked])
    objects = sorted(path for path in (files / "lfs-objects").rglob("*") if path.is_file())
    for one in objects:
        size = one.stat().st_size
        one.unlink()
        (tmp_path / one.name).write_bytes(bytes(size))
        one.hardlink_to(tmp_path / one.name)
    monkeypatch.setenv("PROJECT_EXPORT_MISSING_FILES", "report")  # an object with other content would be an error
    begun = time.monotonic()
    with environment.surviving():
        ctx = environment.context(units=1)
        created = started(ctx)
        assert work(ctx, created) == []
        archive = path_of(merge(ctx, created))
        seconds = time.monotonic() - begun
    assert seconds < ENOUGH_SECONDS
    why = missing(archive, "uploads")
    assert why.keys() == {f"uploads/{path}" for path in (*spoilt.values(), linked)}
    assert set(why.values()) == {"it is a link, a device or a pipe, which are not followed or opened"}
    assert set(missing(archive, "lfs_objects").values()) == {"its SHA-256 is not the one that the source names"}
    with tarfile.open(archive) as tar:
        assert not any(SECRET in tar.extractfile(member).read() for member in tar if member.isfile())  # type: ignore[union-attr]
    happened(
        f"{len(why)} not followed or opened, {len(objects)} hard links to other content found by their SHA-256, all"
        f" listed; {seconds:.0f} s; check_archive.py --strict passes"
    )


@pytest.mark.fault("F42", f"{len(BREAKS)} hostile, broken or odd repositories")
@pytest.mark.timeout(900)
def test_no_repository_runs_a_command_and_none_that_is_not_whole_is_exported(
    database: str, ledger_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, happened: Happened
) -> None:
    attic = FaultyAttic(database, ledger_dsn, tmp_path).settle(monkeypatch)
    attic.sql("UPDATE attics SET diary = %s", NAME.removesuffix(".git"))
    canary = tmp_path / "canary"
    canary.write_text(f"#!/bin/sh\ntouch {tmp_path}/sang\n")
    canary.chmod(0o755)
    wrong = []
    with attic.surviving(published=False):
        good = attic.offered(1)
        for number, case in enumerate(BREAKS):
            place = Place(tmp_path / str(number) / "storage", filled(tmp_path / str(number) / "storage"), canary)
            filled(place.storage, POOL)
            filled(place.outside.parent, OUTSIDE)
            said = exported(attic, place, case, number)
            if said:
                wrong.append(f"{case.name}: {said}")
            if (tmp_path / "sang").exists():
                wrong.append(f"{case.name}: ran a command")
                (tmp_path / "sang").unlink()
        with psycopg.connect(ledger_dsn) as conn:  # each archive has been checked; the one of before is offered again
            conn.execute("DELETE FROM project_export_job WHERE id > %s", [good.id])
    assert wrong == []
    refused = sum(case.refused is not None for case in BREAKS)
    happened(f"{refused} refused with the reason, {len(BREAKS) - refused} cloned with all refs; 0 commands ran")


def exported(attic: FaultyAttic, place: Place, case: Break, number: int) -> str:
    """Export the attic with a repository that is spoilt; return what is wrong with the outcome."""
    before = refs(place.path)
    case.spoil(place)
    ctx = attic.context(units=1, max_attempts=1, locations=f"boxes={attic.boxes}, shelves={place.storage}")
    created = started(ctx, run_id=f"dag/{number}")
    work(ctx, created)
    try:
        archive = Exported(ctx, created.job_id, merge(ctx, created))
    except RelationsFailed as error:
        (failure,) = error.failures
        if case.refused is None:
            return f"was refused: {failure.message}"
        return "" if (failure.relation, failure.code) == ("diary", "RepositoryRefused") else str(failure)
    finally:
        ctx.ledger.close()
    if case.refused is not None:
        return "was exported"
    found = cloned(archive.contents()["diary.bundle"], place.storage)
    kept = {name: target for name, target in found.items() if not name.startswith("refs/replace/")}
    return "" if kept == before else f"{kept} instead of {before}"
