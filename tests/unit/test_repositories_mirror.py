"""A repository that is fetched: exactly with the protocol of its URL, and without showing the password anywhere."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from project_export.errors import GitFailed, RepositoryRefused, StoreRefused
from project_export.repositories import Git, mirrored
from tests.git_server import SECRET, Server, serving
from tests.repositories import NAME, blob, cloned, empty, filled, git, refs

pytestmark = pytest.mark.heavy

GIT = Git(60)


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
def test_a_mirror_has_all_refs_that_are_advertised_and_is_removed(tmp_path: Path, object_format: str) -> None:
    path = filled(tmp_path, object_format=object_format)
    git("symbolic-ref", "HEAD", "refs/heads/feature/x", at=path)
    git("config", "transfer.hideRefs", "refs/keep-around", at=path)
    work = tmp_path / "work"
    work.mkdir()
    with mirrored(f"file://{path}", GIT, work) as mirror:
        found = mirror.refs()
        assert found.head == "refs/heads/feature/x"
        assert found.refs == {name: one for name, one in refs(path).items() if "keep-around" not in name}
        with mirror.bundle() as bundle:
            assert cloned(b"".join(bundle), tmp_path) == found.refs
    assert list(work.iterdir()) == []


def test_an_empty_repository_is_mirrored(tmp_path: Path) -> None:
    path = empty(tmp_path)
    with mirrored(f"file://{path}", GIT, tmp_path) as mirror, mirror.bundle() as bundle:
        assert b"".join(bundle) == b""


def test_the_mirror_of_a_shallow_repository_is_refused(tmp_path: Path) -> None:
    path = filled(tmp_path)
    (path / "shallow").write_text(refs(path)["refs/heads/main"] + "\n")
    with pytest.raises(RepositoryRefused, match="is shallow"), mirrored(f"file://{path}", GIT, tmp_path):
        pass


@pytest.mark.parametrize(
    "url",
    [
        *("http://example.com/x.git", "git://example.com/x.git", "ext::touch x", "/srv/x.git", "git@example.com:x.git"),
        *("https:///x.git", "ssh:x", "https://[x/y.git", "https://example.com/a b", "https://example.com/\n", ""),
        *("https://jane:secret@example.com:port/x.git", "--upload-pack=touch x"),
    ],
)
def test_other_urls_are_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(RepositoryRefused, match="is not a URL to fetch from") as failed, mirrored(url, GIT, tmp_path):
        pass
    assert "secret" not in str(failed.value)


def test_a_repository_that_cannot_be_fetched_can_be_tried_again_and_nothing_remains(tmp_path: Path) -> None:
    with (
        pytest.raises(GitFailed, match="cannot fetch file:///nonexistent: fatal"),
        mirrored("file:///nonexistent", GIT, tmp_path),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_ssh_asks_nothing_and_trusts_only_hosts_that_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = filled(tmp_path)
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "ssh").write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/words\nfor last; do :; done\nexec sh -c "$last"\n')
    (folder / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    with mirrored(f"ssh://git@gitlab.example:2222{path}", GIT, tmp_path) as mirror:
        assert mirror.refs().refs == refs(path)
    words = (tmp_path / "words").read_text()
    assert "-o BatchMode=yes -o StrictHostKeyChecking=yes" in words
    assert "-p 2222 git@gitlab.example git-upload-pack" in words


@pytest.fixture
def server(git_server: Server) -> Server:
    return git_server


@pytest.mark.parametrize("user", ["", "oauth2@", "oauth2:wrong@"])
def test_a_token_gets_git_in_and_is_in_no_command_line_and_no_file(tmp_path: Path, server: Server, user: str) -> None:
    work = tmp_path / "work"
    work.mkdir()
    with mirrored(server.url(NAME, user), GIT, work, lambda: SECRET) as mirror:
        assert mirror.refs().refs == refs(server.root / NAME)
        files = [file.read_bytes() for file in work.rglob("*") if file.is_file()]
        assert any(b"localhost" in content for content in files)
        assert not any(word in content for content in files for word in (SECRET.encode(), b"s3cr", b"wrong"))
    assert any("clone" in line and "localhost" in line for line in server.seen)
    assert not any("s3cr" in line or "wrong" in line for line in server.seen)
    assert not any("s3cr" in path for path in server.paths)


def test_a_password_in_the_url_is_used_but_not_shown(tmp_path: Path, server: Server) -> None:
    with mirrored(server.url(NAME, "oauth2:glpat-s3cr%2Fet%20%25@"), GIT, tmp_path) as mirror:
        assert mirror.refs().refs == refs(server.root / NAME)
    assert not any("s3cr" in line for line in server.seen)


def test_a_wrong_or_missing_password_fails_without_a_question(tmp_path: Path, server: Server) -> None:
    with (
        pytest.raises(GitFailed, match=r"cannot fetch https://.* Is the address right") as failed,
        mirrored(server.url(NAME, "jane:hunter2@"), GIT, tmp_path),
    ):
        pass
    assert "hunter2" not in str(failed.value)
    with pytest.raises(GitFailed, match="cannot fetch https://"), mirrored(server.url(NAME), GIT, tmp_path):
        pass


def test_a_redirect_is_not_followed_to_a_server_that_would_ask_for_the_password(
    tmp_path: Path, server: Server, certificate: Path
) -> None:
    with serving(server.root, certificate) as thief:
        server.elsewhere = thief.url("").rstrip("/")
        with pytest.raises(GitFailed, match="cannot fetch"), mirrored(server.url(NAME), GIT, tmp_path, lambda: SECRET):
            pass
        assert server.paths
        assert thief.paths == []


def test_words_of_git_that_have_the_password_are_shown_without_it(
    tmp_path: Path, git_script: Callable[[str], None]
) -> None:
    git_script(
        'case "$*" in *clone*) echo "denied: $PROJECT_EXPORT_GIT_PASSWORD" >&2; exit 128;; esac; exec "$GIT" "$@"'
    )
    with (
        pytest.raises(GitFailed, match=r"denied: \*\*\*\. Is the address") as failed,
        mirrored("https://localhost:1/x.git", GIT, tmp_path, lambda: SECRET),
    ):
        pass
    assert "s3cr" not in str(failed.value)


def test_a_fetch_can_be_cancelled(tmp_path: Path, git_script: Callable[[str], None]) -> None:
    git_script('case "$*" in *clone*) sleep 300;; esac; exec "$GIT" "$@"')
    GIT.check()
    threading.Timer(0.5, GIT.cancel).start()
    with (
        pytest.raises(GitFailed, match="was cancelled"),
        mirrored("file:///nonexistent", GIT, tmp_path),
    ):
        pass


def test_git_may_use_only_the_protocol_of_the_url(tmp_path: Path, git_script: Callable[[str], None]) -> None:
    path = filled(tmp_path)
    git_script(f'echo "$GIT_ALLOW_PROTOCOL" >> {tmp_path}/protocols; exec "$GIT" "$@"')
    with mirrored(f"file://{path}", GIT, tmp_path) as mirror:
        mirror.refs()
    with pytest.raises(GitFailed), mirrored("https://localhost:1/x.git", GIT, tmp_path):
        pass
    assert (tmp_path / "protocols").read_text().split("\n") == ["file", "file", "", "", "https", ""]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a tmpfs can only be mounted by root, and not in every container")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_mirror_that_fills_the_disk_is_removed_and_may_be_made_again(tmp_path: Path, small: Path) -> None:
    path = filled(tmp_path)
    git("update-ref", "refs/tags/large", blob(path, os.urandom(6 << 20)), at=path)
    with (
        pytest.raises(StoreRefused, match=f"^{small}: ENOSPC, No space left .* file://{path}. Free space") as failed,
        mirrored(f"file://{path}", GIT, small),
    ):
        pass
    assert failed.value.code == "ENOSPC"
    assert list(small.iterdir()) == []
    git("update-ref", "-d", "refs/tags/large", at=path)
    with mirrored(f"file://{path}", GIT, small) as mirror:
        assert mirror.refs().refs == refs(path)


def test_a_mirror_that_does_not_fit_is_not_fetched(tmp_path: Path, small: Path) -> None:
    url = "https://jane:hunter2@localhost:1/x.git"
    with (
        pytest.raises(
            StoreRefused, match=f"^{small}: ENOSPC, .* bytes are free, and the mirror of .* needs 5000000"
        ) as failed,
        mirrored(url, GIT, small, size=5_000_000),
    ):
        pass
    assert "hunter2" not in str(failed.value)
    assert list(small.iterdir()) == []


def test_a_fetch_that_fails_in_a_folder_with_space_is_git_s_failure(tmp_path: Path, small: Path) -> None:
    with pytest.raises(GitFailed, match="cannot fetch file:///none"), mirrored("file:///none", GIT, small, size=1):
        pass
