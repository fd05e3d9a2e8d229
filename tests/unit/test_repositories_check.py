"""A bundle is checked as a stream, and deeply by a clone, which finds what only git can find."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from project_export.errors import GitFailed
from project_export.repositories import Git, Repository, check_bundle
from tests.repositories import NAME, blob, filled, git, loose, refs

pytestmark = pytest.mark.heavy

GIT = Git(60)
ROOT = os.geteuid() == 0


def bundle(root: Path, name: str = NAME) -> bytes:
    repository = Repository.open(root, name, GIT)
    assert repository is not None
    with repository.bundle() as chunks:
        return b"".join(chunks)


def pieces(content: bytes) -> list[bytes]:
    return [content[start : start + 100] for start in range(0, len(content), 100)]


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
@pytest.mark.parametrize("deep", [False, True])
def test_a_whole_bundle_has_no_problem_as_a_file_and_as_a_stream(
    tmp_path: Path, deep: bool, object_format: str
) -> None:
    filled(tmp_path, object_format=object_format)
    content = bundle(tmp_path)
    file = tmp_path / "-x.bundle"
    file.write_bytes(content)
    folder = tmp_path / "work"
    folder.mkdir()
    assert check_bundle(file, GIT, folder, deep=deep) == []
    assert check_bundle(pieces(content), GIT, folder, deep=deep) == []
    assert list(folder.iterdir()) == []
    assert file.read_bytes() == content


@pytest.mark.parametrize("deep", [False, True])
def test_damage_is_found_before_git_sees_the_bundle(tmp_path: Path, deep: bool) -> None:
    filled(tmp_path)
    content = bundle(tmp_path)
    assert check_bundle([content[:-1]], GIT, tmp_path, deep=deep) == [
        "its pack is damaged or cut short: the checksum at its end does not match"
    ]
    assert check_bundle([], GIT, tmp_path, deep=deep) == ["it does not start like a bundle"]


def test_an_object_under_the_id_of_another_one_is_found_deeply(tmp_path: Path) -> None:
    path = filled(tmp_path)
    original = loose(path, git("rev-parse", "refs/heads/main:file", at=path))
    other = loose(path, blob(path, b"another content"))
    original.chmod(0o644)
    original.write_bytes(other.read_bytes())
    content = bundle(tmp_path)
    assert check_bundle([content], GIT, tmp_path, deep=False) == []
    (problem,) = check_bundle([content], GIT, tmp_path, deep=True)
    assert problem.startswith("it cannot be cloned: ")


def test_a_bundle_that_lacks_an_object_is_found_deeply(tmp_path: Path) -> None:
    path = filled(tmp_path)
    only = refs(path)["refs/heads/main"]
    file = tmp_path / "pack"
    name = git("pack-objects", "--quiet", file, at=path, stdin=f"{only}\n".encode())
    content = f"# v2 git bundle\n{only} refs/heads/main\n\n".encode() + (tmp_path / f"pack-{name}.pack").read_bytes()
    assert check_bundle([content], GIT, tmp_path, deep=False) == []
    (problem,) = check_bundle([content], GIT, tmp_path, deep=True)
    assert problem.startswith("it cannot be cloned: ")


def test_refs_that_a_clone_does_not_have_are_named(tmp_path: Path) -> None:
    filled(tmp_path)
    content = bundle(tmp_path).replace(b" refs/pipelines/7\n", b" else/pipelines/7\n")
    assert check_bundle([content], GIT, tmp_path, deep=False) == []
    assert check_bundle([content], GIT, tmp_path, deep=True) == [
        "1 refs of a clone differ from those of the bundle: 'else/pipelines/7'"
    ]


@pytest.mark.parametrize(("mode", "files", "problems"), [("100644", 1, 0), ("0100644", 1, 0), ("100644", 2, 1)])
def test_old_flaws_that_an_importer_accepts_are_none_but_others_are(
    tmp_path: Path, mode: str, files: int, problems: int
) -> None:
    path = filled(tmp_path)
    name = bytes.fromhex(git("rev-parse", "refs/heads/main:file", at=path))
    content = (mode.encode() + b" f\0" + name) * files
    tree = git("hash-object", "-t", "tree", "-w", "--literally", "--stdin", at=path, stdin=content)
    git("update-ref", "refs/tags/old", git("commit-tree", "-m", "old", tree, at=path), at=path)
    assert len(check_bundle([bundle(tmp_path)], GIT, tmp_path, deep=True)) == problems


def test_a_check_that_takes_too_long_is_no_problem_of_the_bundle(tmp_path: Path) -> None:
    filled(tmp_path)
    content = bundle(tmp_path)
    with pytest.raises(GitFailed, match="longer than"):
        check_bundle([content], Git(0.001), tmp_path, deep=True)


@pytest.mark.skipif(not ROOT, reason="only root can become another user")
def test_a_file_that_the_user_of_git_cannot_read_is_copied(tmp_path: Path) -> None:
    filled(tmp_path)
    file = tmp_path / "x.bundle"
    file.write_bytes(bundle(tmp_path))
    file.chmod(0o600)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        assert check_bundle(file, Git(60, user="nobody"), Path(folder), deep=True) == []
