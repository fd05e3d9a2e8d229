"""A bundle has all refs, can be cloned, and counts only if it is whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from project_export.errors import GitFailed, RepositoryRefused
from project_export.repositories import Bundle, Git, Repository
from project_export.repositories.call import CHUNK
from tests.repositories import NAME, cloned, commit, empty, fill, filled, git, refs

pytestmark = pytest.mark.heavy

GIT = Git(60)


def opened(root: Path, name: str = NAME) -> Repository:
    repository = Repository.open(root, name, GIT)
    assert repository is not None
    return repository


def read(bundle: Bundle) -> bytes:
    with bundle:
        return b"".join(bundle)


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
def test_a_bundle_is_what_git_would_write_and_a_clone_of_it_has_all_refs(tmp_path: Path, object_format: str) -> None:
    path = filled(tmp_path, object_format=object_format)
    bundle = opened(tmp_path).bundle()
    content = read(bundle)
    assert cloned(content, tmp_path) == refs(path)
    assert len(refs(path)) == 7
    assert bundle.refs == {**refs(path), "HEAD": refs(path)["refs/heads/main"]}
    assert not bundle.moved
    git("bundle", "create", "--quiet", tmp_path / "its.bundle", "--all", at=path)
    header = (tmp_path / "its.bundle").read_bytes().partition(b"PACK")[0]
    assert content.startswith(header + b"PACK")


@pytest.mark.parametrize("packed", [False, True])
def test_refs_that_are_packed_or_shadow_each_other_are_all_in_the_bundle(tmp_path: Path, packed: bool) -> None:
    path = filled(tmp_path)
    git("update-ref", "refs/heads/refs/heads/main", refs(path)["refs/heads/feature/x"], at=path)
    if packed:
        git("pack-refs", "--all", at=path)
        git("update-ref", "refs/heads/main", refs(path)["refs/heads/feature/x"], at=path)
        git("update-ref", "-d", "refs/pipelines/7", at=path)
    assert len(refs(path)) == 8 - packed
    assert cloned(read(opened(tmp_path).bundle()), tmp_path) == refs(path)


def test_names_with_any_characters_that_git_allows_are_in_the_bundle(tmp_path: Path) -> None:
    path = filled(tmp_path)
    target = refs(path)["refs/heads/main"]
    names = [
        "$(touch${IFS}x)",
        "`id`",
        "a;b|c&d",
        "'\"",
        "-rf",
        "--output=x",
        "%00",
        "é-\U0001f600",
        "refs/tags/v1",
        "@",
    ]
    for name in names:
        git("update-ref", f"refs/heads/{name}", target, at=path)
    packed = f"{target} refs/heads/".encode() + b"\xff\xfe\n"
    (path / "packed-refs").write_bytes(b"# pack-refs with: peeled fully-peeled sorted \n" + packed)
    found = opened(tmp_path).refs().refs
    assert {f"refs/heads/{name}" for name in [*names, "\udcff\udcfe"]} <= found.keys()
    assert cloned(read(opened(tmp_path).bundle()), tmp_path) == found == refs(path)


def test_a_repository_without_refs_has_no_bundle(tmp_path: Path) -> None:
    empty(tmp_path)
    bundle = opened(tmp_path).bundle()
    assert read(bundle) == b""
    assert bundle.refs == {}
    found = opened(tmp_path).refs()
    assert (found.head, found.head_id, found.refs) == ("refs/heads/main", None, {})


def test_head_may_name_a_ref_that_does_not_exist_or_an_object(tmp_path: Path) -> None:
    path = filled(tmp_path)
    git("symbolic-ref", "HEAD", "refs/heads/none", at=path)
    found = opened(tmp_path).refs()
    assert (found.head, found.head_id) == ("refs/heads/none", None)
    bundle = opened(tmp_path).bundle()
    assert cloned(read(bundle), tmp_path) == refs(path) == bundle.refs
    target = commit(path, b"detached")
    (path / "HEAD").write_text(f"{target}\n")
    found = opened(tmp_path).refs()
    assert (found.head, found.head_id) == (None, target)
    bundle = opened(tmp_path).bundle()
    assert b"PACK" in read(bundle)
    assert bundle.refs["HEAD"] == target


def test_objects_of_pools_are_in_the_bundle(tmp_path: Path) -> None:
    pool = filled(tmp_path, "@pools/ab/cd/abcd.git")
    path = empty(tmp_path)
    (path / "objects" / "info").mkdir(exist_ok=True)
    (path / "objects" / "info" / "alternates").write_text(
        "# a comment\n\n../../../../../@pools/ab/cd/abcd.git/objects\n"
    )
    for name, target in refs(pool).items():
        git("update-ref", name, target, at=path)
    repository = opened(tmp_path)
    assert repository.size() < 100 < repository.pools_size()
    assert cloned(read(repository.bundle()), tmp_path) == refs(pool)


def test_refs_that_move_meanwhile_are_listed_and_the_bundle_has_them_as_they_were(
    tmp_path: Path,
) -> None:
    path = filled(tmp_path)
    before = refs(path)
    with opened(tmp_path).bundle() as bundle:
        chunks = iter(bundle)
        content = next(chunks)
        git("update-ref", "refs/heads/main", commit(path, b"four"), at=path)
        git("update-ref", "-d", "refs/pipelines/7", at=path)
        git("update-ref", "refs/heads/new", before["refs/heads/main"], at=path)
        git("symbolic-ref", "HEAD", "refs/heads/new", at=path)
        content += b"".join(chunks)
    assert bundle.moved == ["HEAD", "refs/heads/main", "refs/heads/new", "refs/pipelines/7"]
    assert cloned(content, tmp_path) == before


def test_a_bundle_can_be_read_once_and_is_made_of_chunks(tmp_path: Path) -> None:
    path = empty(tmp_path)
    target = commit(path, b"x")
    names = "".join(f"{target} refs/heads/branch-{number:04}\n" for number in range(9000))
    (path / "packed-refs").write_text(f"# pack-refs with: peeled fully-peeled sorted \n{names}")
    with opened(tmp_path).bundle() as bundle:
        sizes = [len(chunk) for chunk in bundle]
        assert len(bundle.refs) == 9000
        assert [size // CHUNK for size in sizes[:2]] == [1, 1]
        assert max(sizes) < CHUNK + 1000
        with pytest.raises(RuntimeError, match="only once"):
            iter(bundle)


def test_a_cancelled_bundle_fails_and_is_not_taken_for_a_whole_one(tmp_path: Path) -> None:
    filled(tmp_path)
    with opened(tmp_path).bundle() as bundle, pytest.raises(GitFailed, match="cancelled"):
        for _ in bundle:
            GIT.cancel()


def test_a_pack_that_is_not_what_git_wrote_can_be_read_again(tmp_path: Path, git_script: Callable[[str], None]) -> None:
    filled(tmp_path)
    repository = opened(tmp_path)
    git_script('case "$*" in *pack-objects*) "$GIT" "$@" | head -c 200;; *) exec "$GIT" "$@";; esac')
    with repository.bundle() as bundle, pytest.raises(GitFailed, match="is not the one that git wrote"):
        list(bundle)


def test_a_repository_that_does_not_exist_is_none_and_one_that_was_repacked_in_between_is_tried_again(
    tmp_path: Path,
) -> None:
    assert Repository.open(tmp_path, NAME, GIT) is None
    path = fill(empty(tmp_path))
    with opened(tmp_path).bundle() as bundle:
        chunks = iter(bundle)
        next(chunks)
        git("repack", "-adq", at=path)
        for file in (path / "objects" / "pack").glob("*.pack"):
            file.unlink()
        with pytest.raises(GitFailed, match="was repacked") as failed:
            list(chunks)
    assert not isinstance(failed.value, RepositoryRefused)
