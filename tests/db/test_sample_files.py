"""The sample's uploads and LFS objects against their rows, in both directions; and what holds for all its files."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from project_export.errors import BadRequest, GitUnusable, StoreRefused
from project_export.sample import schema
from project_export.sample.generate import generate
from tests.archives import write_files
from tests.commands import run
from tests.sample_repositories import files, git, hashed, refs, repositories


def generated(database: str, folder: Path | None, **options: Any) -> None:
    with psycopg.connect(database) as conn:
        generate(conn, 3, 0.1, files=folder, **options)


def contents(database: str) -> dict[str, Any]:
    query = "SELECT count(*), md5(string_agg(md5(row::text), '' ORDER BY row::text)) FROM {} AS row"
    with psycopg.connect(database) as conn:
        return {table: conn.execute(SQL(query).format(Identifier(table))).fetchone() for table in schema.tables()}


def everything(folder: Path) -> tuple[dict[str, dict[str, str]], dict[str, bytes]]:
    """Return the refs of each repository with its HEAD, and the other files."""
    found = {
        str(path.relative_to(folder)): {**refs(path), "HEAD": (path / "HEAD").read_text()}
        for path in repositories(folder / "repositories")
    }
    return found, {**files(folder / "uploads"), **files(folder / "lfs-objects")}


def test_every_upload_is_the_file_that_its_row_describes_and_no_others_exist(sample_on_disk):
    sample = sample_on_disk
    found = files(sample.folder / "uploads")
    disk_paths = {row["project_id"]: row["disk_path"] for row in sample.table("project_repositories")}
    named = set()
    for row in sample.table("uploads"):
        if row["model_type"] != "Project":
            continue
        if row["uploader"] == "AvatarUploader":
            place = row["path"].removeprefix("uploads/")
            assert (row["mount_point"], row["secret"]) == ("avatar", None)
        else:
            project = row["project_id"]
            legacy = {sample.legacy: "acme/tools/project-3", sample.legacy_uploads: "acme/tools/project-5"}
            place = f"{legacy.get(project, disk_paths[project])}/{row['path']}"
            assert re.fullmatch("[0-9a-f]{32}", row["secret"])
            assert row["path"].startswith(f"{row['secret']}/")
        content = found[place]
        assert (len(content), hashlib.sha256(content).hexdigest()) == (row["size"], row["checksum"])
        assert (row["model_id"], row["store"]) == (row["project_id"], 1)
        named.add(place)
    assert named == set(found)
    assert len({len(content) for content in found.values()}) > 3


def test_the_avatar_is_the_upload_that_the_project_names(sample_on_disk):
    avatars = {row["id"]: row["avatar"] for row in sample_on_disk.table("projects") if row["avatar"]}
    uploads = [row for row in sample_on_disk.table("uploads") if row["mount_point"] == "avatar"]
    assert set(avatars) == {1, 3, 5}
    assert {row["project_id"]: row["path"] for row in uploads} == {
        number: f"uploads/-/system/project/avatar/{number}/{name}" for number, name in avatars.items()
    }


def test_storage_versions_say_what_is_named_by_the_id(sample_on_disk):
    sample = sample_on_disk
    versions = {row["id"]: row["storage_version"] for row in sample.table("projects")}
    assert versions == {**dict.fromkeys(versions, 2), sample.legacy: 0, sample.legacy_uploads: 1}


def test_texts_of_every_kind_name_uploads_and_only_existing_ones(sample_on_disk):
    sample = sample_on_disk
    there = {
        (row["project_id"], f"/uploads/{row['path']}")
        for row in sample.table("uploads")
        if row["uploader"] == "FileUploader"
    }
    named = set()
    for table, column in (
        ("issues", "description"), ("merge_requests", "description"), ("releases", "description"), ("notes", "note"),
    ):  # fmt: skip
        links = {
            (row.get("target_project_id") or row["project_id"], link)
            for row in sample.table(table)
            for link in re.findall(r"\]\((/uploads/[^)]+)\)", row[column] or "")
        }
        assert links, table
        named |= links
    assert named == there


def test_every_lfs_object_is_the_file_that_its_row_describes_and_no_others_exist(sample_on_disk):
    found = files(sample_on_disk.folder / "lfs-objects")
    rows = {row["oid"]: row for row in sample_on_disk.table("lfs_objects")}
    assert {name.replace("/", "") for name in found} == set(rows)
    for name, content in found.items():
        row = rows[hashlib.sha256(content).hexdigest()]
        assert name == f"{row['oid'][:2]}/{row['oid'][2:4]}/{row['file']}"
        assert (len(content), row["file_store"]) == (row["size"], 1)


def test_lfs_objects_are_used_by_each_kind_of_repository_and_by_two_projects(sample_on_disk):
    rows = sample_on_disk.table("lfs_objects_projects")
    oids = {row["id"]: row["oid"] for row in sample_on_disk.table("lfs_objects")}
    assert all(oids[row["lfs_object_id"]] == row["oid"] for row in rows)
    types, projects = {}, {}
    for row in rows:
        types.setdefault((row["oid"], row["project_id"]), []).append(row["repository_type"])
        projects.setdefault(row["oid"], set()).add(row["project_id"])
    assert {tuple(one) for one in types.values()} == {(None,), (0,), (0, 1), (1,), (2,)}
    assert {len(one) for one in projects.values()} == {1, 2}


def test_rows_are_the_same_without_files_and_files_are_the_same_each_time(new_database, schema_template, tmp_path):
    found = []
    for folder in (None, tmp_path / "one", tmp_path / "two"):
        database = new_database(schema_template)
        generated(database, folder)
        found.append(contents(database))
    assert found[0] == found[1] == found[2]
    assert everything(tmp_path / "one") == everything(tmp_path / "two")


def test_another_seed_gives_other_commits_and_uploads(new_database, schema_template, tmp_path):
    for seed in (1, 2):
        generated(new_database(schema_template), tmp_path / str(seed), seed=seed)
    (one, its), (two, others) = everything(tmp_path / "1"), everything(tmp_path / "2")
    assert one.keys() == two.keys()
    own = f"repositories/{hashed('@hashed', 1)}.git"
    assert one[own]["refs/heads/main"] != two[own]["refs/heads/main"]
    assert {name for name in its if "avatar" not in name}.isdisjoint(others)


def test_a_repeated_sample_replaces_the_files_of_the_earlier_one(new_database, schema_template, tmp_path):
    generated(new_database(schema_template), tmp_path)
    before = everything(tmp_path)
    (tmp_path / "uploads" / "old").write_text("of a larger sample")
    (tmp_path / "notes.txt").write_text("not in a folder of the sample")
    generated(new_database(schema_template), tmp_path)
    assert everything(tmp_path) == before
    assert (tmp_path / "notes.txt").exists()


def test_a_folder_with_other_files_is_refused_and_stays_as_it_is(sample_database, tmp_path):
    (tmp_path / "uploads").mkdir()
    (tmp_path / "uploads" / "mine").write_text("x")
    with pytest.raises(BadRequest, match="has files that the sample did not make"):
        generated(sample_database, tmp_path)
    assert files(tmp_path) == {"uploads/mine": b"x"}
    with psycopg.connect(sample_database) as conn:
        assert conn.execute("SELECT count(*) FROM projects").fetchone() == (0,)


def test_a_folder_that_cannot_be_written_is_refused(sample_database, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreRefused, match="The sample's files cannot be written: "):
        generated(sample_database, tmp_path / "file" / "sample")


def test_without_git_the_error_names_it(sample_database, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GitUnusable, match="There is no git on the PATH"):
        generated(sample_database, tmp_path / "sample")


def test_a_repository_that_git_refuses_fails_with_its_words(sample_database, tmp_path, monkeypatch):
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'fatal: no  space' >&2\nexit 128\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    with pytest.raises(
        StoreRefused, match=r"The repository .*\.git could not be written: exit code 128: fatal: no space"
    ):
        generated(sample_database, tmp_path / "sample")


def test_large_files_have_the_size_asked_for_and_change_no_other_id(new_database, schema_template, tmp_path):
    size = 3_000_001
    generated(new_database(schema_template), tmp_path / "small")
    database = new_database(schema_template)
    generated(database, tmp_path / "large", large_bytes=size)
    own = f"repositories/{hashed('@hashed', 1)}.git"
    (before, its), (after, others) = everything(tmp_path / "small"), everything(tmp_path / "large")
    assert after[own].pop("refs/heads/large")
    assert after == before
    more = {name: content for name, content in others.items() if name not in its}
    assert [len(content) for content in more.values()] == [size, size]
    assert int(git(tmp_path / "large" / own, "cat-file", "-s", "large:large.bin")) == size
    with psycopg.connect(database) as conn:
        digests = {hashlib.sha256(content).hexdigest() for content in more.values()}
        query = "SELECT checksum FROM uploads WHERE size = %s UNION SELECT oid FROM lfs_objects WHERE size = %s"
        assert {digest for (digest,) in conn.execute(query, [size, size])} == digests


@pytest.mark.parametrize("size", [-1, 5])
def test_large_files_need_a_folder_and_a_size(sample_database, size):
    with pytest.raises(BadRequest, match="give a size above 0, and the folder for files"):
        generated(sample_database, None, large_bytes=size)


def test_the_command_writes_files_and_loads_those_of_an_archive(new_database, schema_template, tmp_path):
    one, two = new_database(schema_template), new_database(schema_template)
    options = ["--projects", "2", "--scale", "0.1", "--files", str(tmp_path / "one"), "--files-bytes", "5000"]
    assert run(["sample", "generate", "--dsn", one, *options]).exit_code == 0
    large = tmp_path / "one" / "repositories" / f"{hashed('@hashed', 1)}.git"
    assert git(large, "cat-file", "-s", "large:large.bin") == "5000"
    archive = write_files(tmp_path / "a.tar.gz", {"tree/project.json": "{}", "avatar/me.png": "content"})
    ran = run(["sample", "load", str(archive), "--dsn", two, "--files", str(tmp_path / "two")])
    assert ran.stdout.splitlines()[-1] == "project: 1"
    assert files(tmp_path / "two" / "uploads") == {"-/system/project/avatar/1/me.png": b"content"}
