"""No repository runs a command here, and none that is not whole is taken for one that is."""

from __future__ import annotations

import errno
import subprocess
from pathlib import Path

import pytest

from project_export.errors import GitFailed, RepositoryRefused
from project_export.repositories import Git, Repository
from project_export.repositories.files import reading
from tests.repositories import ENVIRONMENT, NAME, cloned, empty, filled, git, refs
from tests.unit.repository_breaks import BREAKS, OUTSIDE, POOL, PROMISOR, Break, Place

pytestmark = pytest.mark.heavy

GIT = Git(20)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    storage = tmp_path / "storage"
    path = filled(storage)
    filled(storage, POOL)
    filled(tmp_path, OUTSIDE)
    canary = tmp_path / "canary"
    canary.write_text(f"#!/bin/sh\ntouch {tmp_path}/sang\n")
    canary.chmod(0o755)
    return Place(storage, path, canary)


@pytest.mark.parametrize("case", BREAKS, ids=lambda case: case.name)
def test_it_runs_nothing_and_is_read_whole_or_refused_with_the_reason(place: Place, case: Break) -> None:
    before = refs(place.path)
    case.spoil(place)
    if case.refused is None:
        repository = Repository.open(place.storage, NAME, GIT)
        assert repository is not None
        with repository.bundle() as bundle:
            content = b"".join(bundle)
        found = cloned(content, place.storage)
        assert {name: target for name, target in found.items() if not name.startswith("refs/replace/")} == before
        assert bundle.moved == []
    else:
        with pytest.raises(RepositoryRefused, match=case.refused) as failed:
            read_whole(place)
        assert str(place.path) in str(failed.value) or str(place.storage) in str(failed.value)
    assert not (place.canary.parent / "sang").exists()


def read_whole(place: Place) -> None:
    repository = Repository.open(place.storage, NAME, GIT)
    assert repository is not None
    with repository.bundle() as bundle:
        for _ in bundle:
            pass


def test_the_canary_sings_where_git_is_called_without_care(place: Place) -> None:
    place.configure(PROMISOR)
    place.blob().unlink()
    words = ["git", f"--git-dir={place.path}", "bundle", "create", "-", "--all"]
    subprocess.run(words, env=ENVIRONMENT, capture_output=True, check=False)
    assert (place.canary.parent / "sang").exists()


@pytest.mark.parametrize(
    "name",
    [
        "../outside.git",
        "/etc",
        "",
        ".",
        "a//b",
        "a/./b",
        "a/../a",
        "a\0b",
        "a/" + "é" * 128,
        "a/",
        "@hashed/6b/../x",
        "a\\b",
        "a\nb",
        "\udcff",
    ],
)
def test_a_name_that_is_not_plain_is_refused(place: Place, name: str) -> None:
    with pytest.raises(RepositoryRefused, match="is not the name of a repository"):
        Repository.open(place.storage, name, GIT)


def test_a_link_on_the_way_is_refused_but_the_root_may_be_one(place: Place) -> None:
    (place.storage / "link").symlink_to(place.storage / "@hashed")
    (place.storage / "link.git").symlink_to(place.path)
    for name in (NAME.replace("@hashed", "link"), "link.git", f"{NAME}/HEAD"):
        with pytest.raises(RepositoryRefused, match="is a link or a file"):
            Repository.open(place.storage, name, GIT)
    (place.storage.parent / "root").symlink_to(place.storage)
    place.borrow(f"{place.storage.parent}/root/{POOL}/objects")
    repository = Repository.open(place.storage.parent / "root", NAME, GIT)
    assert repository is not None
    with repository.bundle() as bundle:
        assert cloned(b"".join(bundle), place.storage) == refs(place.path)


def test_a_root_that_is_not_there_is_not_an_absent_repository(place: Place) -> None:
    with pytest.raises(RepositoryRefused, match=r"root .* does not exist\. Mount it"):
        Repository.open(place.storage / "none", NAME, GIT)
    with pytest.raises(RepositoryRefused, match="is not a folder"):
        Repository.open(place.canary, NAME, GIT)


def test_the_files_of_a_cluster_are_not_read(place: Place) -> None:
    with pytest.raises(RepositoryRefused, match="Set a URL template"):
        Repository.open(place.storage, "@cluster/repositories/6b/86/1", GIT)


def test_a_repository_with_tables_of_refs_is_read_by_a_git_that_knows_them(tmp_path: Path) -> None:
    path = tmp_path / NAME
    words = ["git", "init", "--quiet", "--bare", "--ref-format=reftable", str(path)]
    if subprocess.run(words, env=ENVIRONMENT, capture_output=True, check=False).returncode == 0:
        source = filled(tmp_path, "source.git")
        git("fetch", "--quiet", source, "+refs/*:refs/*", at=path)
        git("symbolic-ref", "HEAD", "refs/heads/main", at=path)
        repository = Repository.open(tmp_path, NAME, GIT)
        assert repository is not None
        assert repository.refs().head == "refs/heads/main"
        with repository.bundle() as bundle:
            assert cloned(b"".join(bundle), tmp_path) == refs(source)
    else:
        empty(tmp_path)
        (path / "config").write_text("[core]\nrepositoryformatversion = 1\n[extensions]\nrefStorage = reftable\n")
        with pytest.raises(RepositoryRefused, match=rf"git cannot open {path}: fatal: .*Install a git that knows"):
            Repository.open(tmp_path, NAME, GIT)


def test_no_temporary_folder_remains(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = place.storage.parent / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    read_whole(place)
    place.blob().unlink()
    with pytest.raises(RepositoryRefused):
        read_whole(place)
    assert list(temporary.iterdir()) == []


def test_what_may_not_be_read_needs_a_change_and_what_cannot_be_read_now_can_be_tried_again() -> None:
    with (
        pytest.raises(RepositoryRefused, match=r"Permission denied \(/srv/HEAD\)\. Let the user"),
        reading(Path("/srv")),
    ):
        raise PermissionError(errno.EACCES, "Permission denied", "/srv/HEAD")
    with pytest.raises(GitFailed, match="Is its storage mounted and healthy") as failed, reading(Path("/srv")):
        raise OSError(errno.ESTALE, "Stale file handle", "/srv/HEAD")
    assert failed.value.code == "ESTALE"


def test_git_is_not_asked_about_any_number_of_symbolic_refs(place: Place) -> None:
    for number in range(100):
        place.write(f"refs/symbolic/{number}", "ref: refs/heads/none\n")
    read_whole(place)
    place.write("refs/symbolic/100", "ref: refs/heads/none\n")
    with pytest.raises(RepositoryRefused, match=r"cannot read 101 refs of .*\.\.\."):
        read_whole(place)
