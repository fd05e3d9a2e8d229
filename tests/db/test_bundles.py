"""Relations of bundles: a clone of what is exported has what the repository has, and nothing is lost in silence."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import psycopg
import pytest

from project_export.errors import RelationsFailed
from project_export.producers import bundles
from project_export.repositories import mirrored
from tests.attic import Attic

WHO = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Ann"), ("EMAIL", "ann@example.com"), ("DATE", "2026-01-01T00:00:00Z"))
}


def git(*words: object, cwd: Path | None = None, data: bytes | None = None) -> bytes:
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", **WHO}
    done = subprocess.run(
        ["git", *map(str, words)], cwd=cwd, env=environment, input=data, capture_output=True, check=True
    )
    return done.stdout


def repository(path: Path, *contents: bytes) -> Path:
    """Make a repository with a commit for each content, and refs of several kinds."""
    git("init", "--quiet", "--bare", "--initial-branch=main", path)
    parent: list[object] = []
    for content in contents:
        blob = git("hash-object", "-w", "--stdin", cwd=path, data=content).decode().strip()
        tree = git("mktree", cwd=path, data=f"100644 blob {blob}\tfile\n".encode()).decode().strip()
        commit = git("commit-tree", tree, *parent, "-m", "a commit", cwd=path).decode().strip()
        parent = ["-p", commit]
        for ref in ("refs/heads/main", f"refs/keep-around/{commit}", "refs/merge-requests/1/head"):
            git("update-ref", ref, commit, cwd=path)
    return path


def refs(path: Path) -> list[bytes]:
    return git("for-each-ref", "--format=%(refname) %(objectname)", cwd=path).splitlines()


def cloned(bundle: bytes, folder: Path) -> Path:
    file = folder / "file.bundle"
    file.write_bytes(bundle)
    git("clone", "--quiet", "--mirror", file, folder / "clone")
    git("fsck", "--full", "--strict", cwd=folder / "clone")
    return folder / "clone"


def letter(attic: Attic, name: str | None, *contents: bytes) -> Path:
    with psycopg.connect(attic.database) as conn:
        (number,) = conn.execute("INSERT INTO letters (attic_id, name) VALUES (1, %s) RETURNING id", [name]).fetchone()  # type: ignore[misc]
    hashed = hashlib.sha256(str(number).encode()).hexdigest()
    return repository(attic.shelves / "letters" / hashed[:2] / f"{hashed}.git", *contents)


@pytest.fixture
def attic(database: str, ledger_dsn: str, tmp_path: Path) -> Attic:
    attic = Attic(database, ledger_dsn, tmp_path).make()
    attic.sql("UPDATE attics SET diary = 'the diary'")
    return attic


def test_a_clone_of_the_bundle_has_the_refs_of_the_repository(attic, tmp_path):
    path = repository(attic.shelves / "the diary.git", b"1", b"2", os.urandom(3 << 20))
    exported = attic.export()
    assert refs(cloned(exported.contents()["diary.bundle"], tmp_path)) == refs(path)
    assert len(refs(path)) == 5
    (relation,) = (one for one in exported.manifest.relations if one.relation == "diary")
    assert (relation.file, relation.rows) == ("diary.bundle", 1)
    assert [file.name for file in relation.files] == ["diary.bundle"]
    assert exported.merged.omissions == ()


def test_a_location_of_its_own_wins_over_the_common_one(attic, tmp_path):
    path = repository(tmp_path / "top" / "the diary.git", b"on the top shelf")
    repository(attic.shelves / "the diary.git", b"on another shelf")
    exported = attic.export(locations=f"boxes={attic.boxes},shelves={attic.shelves},shelves.top={tmp_path / 'top'}")
    assert refs(cloned(exported.contents()["diary.bundle"], tmp_path)) == refs(path)


def test_many_repositories_are_a_run_of_files(attic, tmp_path):
    repository(attic.shelves / "the diary.git", b"1")
    paths = {name: letter(attic, name, name.encode(), os.urandom(9 << 20)) for name in ("to Ann", "to Bob")}
    letter(attic, "never written")
    exported = attic.export(part_rows=1)
    bundles = exported.contents("letters/")
    assert bundles.keys() == {"to Ann.bundle", "to Bob.bundle"}
    for name, path in paths.items():
        (tmp_path / name).mkdir()
        assert refs(cloned(bundles[f"{name}.bundle"], tmp_path / name)) == refs(path)
    (relation,) = (one for one in exported.manifest.relations if one.relation == "letters")
    assert "the repository has no refs, so there is no bundle" in relation.remarks
    assert [file.name for file in relation.files] == ["letters/to Ann.bundle", "letters/to Bob.bundle"]


def test_a_repository_without_refs_has_no_bundle_and_a_remark(attic):
    repository(attic.shelves / "the diary.git")
    exported = attic.export()
    assert "diary.bundle" not in exported.contents()
    (relation,) = (one for one in exported.manifest.relations if one.relation == "diary")
    assert (relation.file, relation.rows) == (None, 0)
    assert relation.remarks == ("the repository has no refs, so there is no bundle",)
    assert exported.merged.omissions == ()


def test_a_project_that_never_had_a_repository_has_no_bundle_and_a_remark(attic):
    attic.sql("UPDATE attics SET diary = NULL")
    exported = attic.export()
    assert "diary.bundle" not in exported.contents()
    (relation,) = (one for one in exported.manifest.relations if one.relation == "diary")
    assert relation.remarks == ("there is no repository",)
    assert exported.merged.omissions == ()


def test_a_repository_that_is_missing_fails_its_relation(attic):
    with pytest.raises(RelationsFailed, match=r"diary.bundle: the source has no such repository .*the diary.git"):
        attic.export()


def test_a_repository_that_is_missing_can_be_left_out_and_is_reported(attic):
    exported = attic.export(missing_files="report")
    assert exported.merged.omissions == ("1 file(s) left out: the source has no such repository",)
    (relation,) = (one for one in exported.manifest.relations if one.relation == "diary")
    assert [file.name for file in relation.missing] == ["diary.bundle"]


def test_without_a_location_the_repository_is_an_omission(attic):
    exported = attic.export(locations=f"boxes={attic.boxes}")
    assert exported.merged.omissions == (
        "1 file(s) left out: the setting PROJECT_EXPORT_LOCATIONS has no location shelves",
    )


def test_a_damaged_repository_fails_its_relation_alone_with_the_words_of_git(attic):
    path = repository(attic.shelves / "the diary.git", b"1")
    for file in (path / "objects").glob("??/*"):
        file.chmod(0o600)
        file.write_bytes(b"rubbish")
    with pytest.raises(RelationsFailed) as caught:
        attic.export()
    (failure,) = caught.value.failures
    assert (failure.relation, failure.code) == ("diary", "RepositoryRefused")
    assert str(path) in failure.message


def test_a_repository_is_fetched_from_a_url(attic, tmp_path, monkeypatch):
    attic.sql("UPDATE attics SET diary = 'my/diary'")
    served = repository(tmp_path / "server" / "my" / "diary.git", b"1", b"2")
    tree = (attic.folder / "attic.yaml").read_text()
    named = "      name: diary.bundle\n"
    (attic.folder / "attic.yaml").write_text(tree.replace(named, f'{named}      url: "{{diary}}.git"\n'))
    fetched: list[str] = []

    def local(url, *rest, **more):
        fetched.append(url)
        return mirrored(url.replace("ssh://git.example", f"file://{tmp_path}/server"), *rest, **more)

    monkeypatch.setattr(bundles, "mirrored", local)
    exported = attic.export(locations=f"boxes={attic.boxes},shelves=ssh://git.example/")
    assert fetched == ["ssh://git.example/my/diary.git"]
    assert refs(cloned(exported.contents()["diary.bundle"], tmp_path)) == refs(served)
    assert exported.merged.omissions == (
        "refs that a server does not advertise, such as refs/keep-around, are not in the bundle",
    )
