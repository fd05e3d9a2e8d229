"""Bundles and files of an archive into a folder, with their rows: those of a generated project, and small archives."""

from __future__ import annotations

import hashlib
import json
import logging
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg.sql import SQL, Identifier

from project_export.errors import ArchiveBroken, BadRequest
from project_export.sample.load import load
from tests.archives import Records, exported, write_files
from tests.sample_repositories import ENVIRONMENT, Sample, files, git, hashed, refs, repositories

FEATURE = {"project_id": 42, "created_at": "2024-05-06T07:08:09.123Z", "updated_at": "2024-05-06T07:08:09.123Z"}
SECRET = "0123456789abcdef" * 2
OID = hashlib.sha256(b"x").hexdigest()
OTHER_ZONE = "2024-05-06T09:08:09.123+02:00"
PROJECT = {"tree/project.json": "{}", "tree/project/project_feature.ndjson": json.dumps(FEATURE)}


def loaded(database: str, archive: Path, folder: Path | None) -> int:
    with psycopg.connect(database) as conn:
        return load(conn, archive, files=folder)


def rows(database: str, table: str) -> list[dict[str, Any]]:
    with psycopg.connect(database, row_factory=dict_row) as conn:
        return conn.execute(SQL("SELECT * FROM {} ORDER BY 1").format(Identifier(table))).fetchall()


def bundle(repository: Path) -> bytes:
    command = ["git", f"--git-dir={repository}", "bundle", "create", "--quiet", "-", "--all"]
    return subprocess.run(command, env=ENVIRONMENT, check=True, capture_output=True).stdout


def new_repository(folder: Path, *options: str) -> Path:
    """Make a repository with one commit on the branch trunk, which HEAD names."""
    git(folder, "init", "--quiet", "--bare", "--initial-branch=trunk", *options)
    tree = git(folder, "hash-object", "-t", "tree", "-w", "/dev/null")
    people = ("-c", "user.name=A", "-c", "user.email=a@example.com")
    git(folder, "update-ref", "refs/heads/trunk", git(folder, *people, "commit-tree", "-m", "x", tree))
    return folder


@pytest.fixture
def trunk(tmp_path: Path) -> Path:
    return new_repository(tmp_path / "source.git")


def text(records: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def named_by(record: dict[str, Any], as_ruby: Callable[[str], str]) -> str:
    """Return the name of a snippet's bundle, as GitLab's Snippet#hexdigest makes it."""
    parts = [
        record["title"],
        record["description"] or "",
        *(as_ruby(record[f"{name}_at"]) for name in ("created", "updated")),
    ]
    return f"snippets/{hashlib.sha256(''.join(parts).encode()).hexdigest()}.bundle"


def utc(moment: str) -> str:
    return f"{moment[:19].replace('T', ' ')} UTC"


@pytest.fixture(scope="module")
def whole(sample_on_disk: Sample) -> dict[str, str | bytes]:
    """Every file of an archive of project 1."""
    sample = sample_on_disk
    records: Records = exported(sample.database, 1)
    found: dict[str, str | bytes] = {"tree/project.json": text(records.pop("project")).strip()}
    found |= {f"tree/project/{name}.ndjson": text(of) for name, of in records.items()}
    for name, kind in (("project", ""), ("project.wiki", ".wiki"), ("project.design", ".design")):
        found[f"{name}.bundle"] = bundle(sample.own(1, kind))
    paths = {row["snippet_id"]: row["disk_path"] for row in sample.table("snippet_repositories")}
    ids = sorted(row["id"] for row in sample.table("snippets") if row["project_id"] == 1)
    for number, record in zip(ids, records["snippets"], strict=True):
        repository = sample.root / f"{paths.get(number, 'absent')}.git"
        if repository.exists() and refs(repository):
            found[named_by(record, utc)] = bundle(repository)
    uploads = files(sample.folder / "uploads" / hashed("@hashed", 1))
    found |= {f"uploads/{name}": content for name, content in uploads.items()}
    avatars = files(sample.folder / "uploads" / "-" / "system" / "project" / "avatar" / "1")
    found |= {f"avatar/{name}": content for name, content in avatars.items()}
    types: dict[str, list[int]] = {}
    for row in sample.table("lfs_objects_projects"):
        if row["project_id"] == 1:
            types.setdefault(row["oid"], []).append(row["repository_type"])
    found["lfs-objects.json"] = json.dumps(types)
    for oid in types:
        path = sample.folder / "lfs-objects" / oid[:2] / oid[2:4] / oid[4:]
        found[f"lfs-objects/{oid}"] = path.read_bytes()
    return found


def test_everything_of_a_project_is_there_again(whole, sample_on_disk, sample_database, tmp_path):
    sample, folder = sample_on_disk, tmp_path / "files"
    assert loaded(sample_database, write_files(tmp_path / "a.tar.gz", whole), folder) == 1
    for kind in ("", ".wiki", ".design"):
        copy = folder / "repositories" / f"{hashed('@hashed', 1)}{kind}.git"
        assert refs(copy) == refs(sample.own(1, kind))
        assert git(copy, "symbolic-ref", "HEAD") == git(sample.own(1, kind), "symbolic-ref", "HEAD")
        git(copy, "fsck", "--full", "--strict")
        assert "remote." not in git(copy, "config", "--local", "--list")
        assert not (copy / "objects" / "info" / "alternates").exists()
    assert files(folder / "uploads" / hashed("@hashed", 1)) == files(sample.folder / "uploads" / hashed("@hashed", 1))
    avatar = "-/system/project/avatar/1/avatar.png"
    assert files(folder / "uploads")[avatar] == files(sample.folder / "uploads")[avatar]
    found = files(folder / "lfs-objects")
    assert len(found) == 4
    assert found.items() <= files(sample.folder / "lfs-objects").items()
    assert {path.name for path in folder.iterdir()} == {
        "repositories", "uploads", "lfs-objects", "project-export-sample.txt",
    }  # fmt: skip


def test_every_file_gets_the_row_that_the_source_has(whole, sample_on_disk, sample_database, tmp_path):
    sample = sample_on_disk
    loaded(sample_database, write_files(tmp_path / "a.tar.gz", whole), tmp_path / "files")

    def same(table: str, names: str) -> None:
        wanted = sorted(
            [str(row[name]) for name in names.split()] for row in sample.table(table) if row["project_id"] == 1
        )
        assert wanted == sorted([str(row[name]) for name in names.split()] for row in rows(sample_database, table))
        assert wanted

    same("project_repositories", "project_id disk_path object_format")
    same("project_wiki_repositories", "project_id")
    same("design_management_repositories", "project_id")
    same("uploads", "size checksum model_id model_type uploader path secret mount_point store")
    same("lfs_objects_projects", "oid repository_type project_id")
    oids = {row["oid"]: (row["size"], row["file"], row["file_store"]) for row in sample.table("lfs_objects")}
    stored = rows(sample_database, "lfs_objects")
    assert all(oids[row["oid"]] == (row["size"], row["file"], row["file_store"]) for row in stored)
    (project,) = (row for row in rows(sample_database, "projects") if row["id"] == 1)
    assert (project["avatar"], project["storage_version"]) == ("avatar.png", 2)
    assert [row["name"] for row in rows(sample_database, "shards")] == ["default"]


def test_snippets_get_the_bundle_that_is_named_by_their_record(whole, sample_database, tmp_path, caplog):
    folder = tmp_path / "files"
    with caplog.at_level(logging.WARNING):
        loaded(sample_database, write_files(tmp_path / "a.tar.gz", whole), folder)
    assert "snippets" not in caplog.text
    snippets = {row["id"]: row for row in rows(sample_database, "snippets")}
    stored = rows(sample_database, "snippet_repositories")
    assert len(stored) == 2
    for row in stored:
        assert row["disk_path"] == hashed("@snippets", row["snippet_id"])
        copy, snippet = folder / "repositories" / f"{row['disk_path']}.git", snippets[row["snippet_id"]]
        assert git(copy, "cat-file", "blob", f"main:{snippet['file_name']}") == snippet["content"].removesuffix("\n")


def test_an_export_of_what_was_loaded_has_the_same_records(whole, sample_on_disk, sample_database, tmp_path):
    loaded(sample_database, write_files(tmp_path / "a.tar.gz", whole), tmp_path / "files")
    for name in ("snippets", "releases", "commit_notes"):
        assert exported(sample_database, 1, relations=[name]) == exported(sample_on_disk.database, 1, relations=[name])


def test_without_a_folder_nothing_is_stored_of_files(whole, sample_database, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))  # there is no git either
    loaded(sample_database, write_files(tmp_path / "a.tar.gz", whole), None)
    for table in ("uploads", "lfs_objects", "project_repositories", "snippet_repositories"):
        assert rows(sample_database, table) == []


def test_two_archives_share_a_folder_and_an_lfs_object(sample_database, trunk, tmp_path):
    shared = {f"lfs-objects/{OID}": "x", "lfs-objects.json": json.dumps({OID: [0, 0]}), "project.bundle": bundle(trunk)}
    for number in (42, 43):
        feature = {"tree/project/project_feature.ndjson": json.dumps({**FEATURE, "project_id": number})}
        archive = write_files(tmp_path / f"{number}.tar.gz", {**PROJECT, **feature, **shared})
        assert loaded(sample_database, archive, tmp_path / "files") == number
    assert len(repositories(tmp_path / "files")) == 2
    assert len(rows(sample_database, "lfs_objects")) == 1
    assert [row["project_id"] for row in rows(sample_database, "lfs_objects_projects")] == [42, 43]


@pytest.mark.parametrize(("option", "code"), [("sha1", 0), ("sha256", 1)])
def test_head_and_the_format_of_ids_are_those_of_the_bundle(option, code, sample_database, tmp_path):
    source = new_repository(tmp_path / "source.git", f"--object-format={option}")
    archive = write_files(tmp_path / "a.tar.gz", {**PROJECT, "project.bundle": bundle(source)})
    loaded(sample_database, archive, tmp_path / "files")
    copy = tmp_path / "files" / "repositories" / f"{hashed('@hashed', 42)}.git"
    assert refs(copy) == refs(source)
    assert git(copy, "symbolic-ref", "HEAD") == "refs/heads/trunk"
    assert [row["object_format"] for row in rows(sample_database, "project_repositories")] == [code]


def test_a_bundle_of_an_instance_in_another_zone_finds_its_snippets(sample_database, trunk, tmp_path, caplog):
    snippet = {"title": "a", "description": None, "created_at": OTHER_ZONE, "updated_at": OTHER_ZONE, "project_id": 42}
    name = named_by(snippet, lambda moment: f"{moment[:19].replace('T', ' ')} +0200")
    unknown = f"snippets/{'0' * 64}.bundle"
    content = {"tree/project/snippets.ndjson": text([snippet, snippet]), name: bundle(trunk), unknown: bundle(trunk)}
    with caplog.at_level(logging.WARNING):
        loaded(sample_database, write_files(tmp_path / "a.tar.gz", {**PROJECT, **content}), tmp_path / "files")
    assert len(rows(sample_database, "snippet_repositories")) == len(repositories(tmp_path / "files")) == 2
    assert "\n  snippets (bundles of no snippet): 1" in caplog.text


def test_files_of_other_names_are_counted_and_those_with_unsafe_names_never_written(sample_database, tmp_path, caplog):
    names = ("uploads/x/y.png", "snippets/a.bundle", "other.bundle", f"uploads/{SECRET}/a/b", f"lfs-objects/{OID}")
    unsafe = (f"uploads/{SECRET}/../../../escaped", "uploads/../../escaped", f"lfs-objects/{OID}/../../../escaped")
    archive = write_files(tmp_path / "a.tar.gz", {**PROJECT, **dict.fromkeys((*names, *unsafe), "x")})
    with caplog.at_level(logging.WARNING):
        loaded(sample_database, archive, tmp_path / "deep" / "files")
    assert caplog.records[-1].getMessage().splitlines()[1:] == [
        "  lfs-objects (files of other names): 1",
        "  other.bundle (files of other names): 1",
        "  snippets (files of other names): 1",
        "  unsafe names (never written): 3",
        "  uploads (files of other names): 2",
    ]
    assert list(tmp_path.rglob("escaped")) == []
    assert files(tmp_path / "deep" / "files").keys() == {"project-export-sample.txt"}


def test_an_upload_keeps_its_name(sample_database, tmp_path):
    name = "naïve “name” $(x).pdf"
    archive = write_files(tmp_path / "a.tar.gz", {**PROJECT, f"uploads/{SECRET}/{name}": "content"})
    loaded(sample_database, archive, tmp_path / "files")
    assert files(tmp_path / "files" / "uploads" / hashed("@hashed", 42)) == {f"{SECRET}/{name}": b"content"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"project.bundle": "# v2 git bundle\n"},
            r"a\.tar\.gz: project\.bundle is broken: it ends within its list of ",
        ),
        ({"lfs-objects.json": "[1]"}, r"a\.tar\.gz: lfs-objects\.json is not an object with lists: "),
        ({"lfs-objects.json": '{"a'}, r"lfs-objects\.json is not an object with lists: "),
        ({"lfs-objects.json": f'{{"{OID}": [7]}}'}, rf"the value of {OID} is not a list of repository types"),
        (
            {"lfs-objects.json": f'{{"{OID}": [0]}}'},
            rf"lfs-objects\.json lists {OID}, which the archive does not contain",
        ),
        (
            {"lfs-objects.json": f'{{"{OID}": [0]}}', f"lfs-objects/{OID}": "y"},
            rf"lfs-objects/{OID} has the SHA-256 {hashlib.sha256(b'y').hexdigest()}",
        ),
    ],
)
def test_a_broken_file_is_named_and_no_row_is_stored(content, message, sample_database, trunk, tmp_path):
    archive = write_files(tmp_path / "a.tar.gz", {**PROJECT, **content})
    with pytest.raises(ArchiveBroken, match=message):
        loaded(sample_database, archive, tmp_path / "files")
    assert rows(sample_database, "projects") == rows(sample_database, "lfs_objects") == []
    archive = write_files(tmp_path / "b.tar.gz", {**PROJECT, "project.bundle": bundle(trunk)})
    assert loaded(sample_database, archive, tmp_path / "files") == 42


def test_a_bundle_that_lacks_objects_is_broken(sample_database, trunk, tmp_path):
    data = bundle(trunk)
    header = data[: data.index(b"\n\n") + 2]
    pack = b"PACK" + (2).to_bytes(4, "big") + bytes(4)  # without any object
    broken = header + pack + hashlib.sha1(pack).digest()
    archive = write_files(tmp_path / "a.tar.gz", {**PROJECT, "project.bundle": broken})
    with pytest.raises(ArchiveBroken, match=r"a\.tar\.gz: project\.bundle cannot be cloned: exit code 128: "):
        loaded(sample_database, archive, tmp_path / "files")


def test_a_repository_that_an_interrupted_load_left_is_replaced(sample_database, trunk, tmp_path):
    place = tmp_path / "files" / "repositories" / f"{hashed('@hashed', 42)}.git"
    archive = write_files(tmp_path / "a.tar.gz", {**PROJECT, "project.bundle": bundle(trunk)})
    place.mkdir(parents=True)
    (tmp_path / "files" / "project-export-sample.txt").touch()
    (place / "HEAD").write_text("broken")
    loaded(sample_database, archive, tmp_path / "files")
    assert refs(place) == refs(trunk)


def test_a_folder_with_other_files_is_refused(sample_database, tmp_path):
    (tmp_path / "mine").write_text("x")
    archive = write_files(tmp_path / "a.tar.gz", PROJECT)
    with pytest.raises(BadRequest, match="has files that the sample did not make"):
        loaded(sample_database, archive, tmp_path)
    assert rows(sample_database, "projects") == []
