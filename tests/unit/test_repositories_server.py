"""The branches of a repository on a server: as git has them, without fetching, and as safely as a fetch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from project_export.errors import GitFailed, RepositoryRefused
from project_export.repositories import Git, branches
from tests.git_server import SECRET, Server, serving
from tests.repositories import NAME, empty, filled, git, refs

pytestmark = pytest.mark.heavy

GIT = Git(60)


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
def test_they_are_those_of_the_repository(tmp_path: Path, object_format: str) -> None:
    path = filled(tmp_path, object_format=object_format)
    git("symbolic-ref", "HEAD", "refs/heads/feature/x", at=path)
    git("update-ref", "refs/heads/HEAD", "refs/heads/main", at=path)
    git("update-ref", "refs/remotes/refs/heads/other", "refs/heads/main", at=path)
    found = branches(f"file://{path}", GIT)
    expected = {name: one for name, one in refs(path).items() if name.startswith("refs/heads/")}
    assert set(expected) == {"refs/heads/main", "refs/heads/feature/x", "refs/heads/HEAD"}
    assert found.refs == expected
    assert (found.head, found.head_id) == ("refs/heads/feature/x", expected["refs/heads/feature/x"])
    assert found.object_format == object_format


def test_a_detached_head_names_no_branch(tmp_path: Path) -> None:
    path = filled(tmp_path)
    tip = refs(path)["refs/heads/main"]
    (path / "HEAD").write_text(f"{tip}\n")
    found = branches(f"file://{path}", GIT)
    assert (found.head, found.head_id) == (None, tip)


def test_an_empty_repository_has_none(tmp_path: Path) -> None:
    found = branches(f"file://{empty(tmp_path)}", GIT)
    assert (found.head, found.head_id, found.refs) == (None, None, {})


@pytest.mark.parametrize("user", ["", "oauth2@", "oauth2:wrong@"])
def test_a_token_gets_git_in_and_is_in_no_command_line(git_server: Server, user: str) -> None:
    found = branches(git_server.url(NAME, user), GIT, lambda: SECRET)
    assert found.refs["refs/heads/main"] == refs(git_server.root / NAME)["refs/heads/main"]
    assert any("ls-remote" in line and "localhost" in line for line in git_server.seen)
    assert not any("s3cr" in line or "wrong" in line for line in git_server.seen)
    assert not any("s3cr" in path for path in git_server.paths)


def test_what_git_cannot_reach_is_named_without_the_password(git_server: Server) -> None:
    for url in (git_server.url(NAME, "jane:hunter2@"), git_server.url("none.git", "jane:hunter2@")):
        with pytest.raises(GitFailed, match="cannot fetch https://") as failed:
            branches(url, GIT)
        assert "hunter2" not in str(failed.value)


def test_a_redirect_is_not_followed(git_server: Server, certificate: Path) -> None:
    with serving(git_server.root, certificate) as thief:
        git_server.elsewhere = thief.url("").rstrip("/")
        with pytest.raises(GitFailed):
            branches(git_server.url(NAME), GIT, lambda: SECRET)
        assert git_server.paths
        assert thief.paths == []


@pytest.mark.parametrize("url", ["http://example.com/x.git", "ext::touch x", "/srv/x.git", "--upload-pack=touch x"])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(RepositoryRefused, match="is not a URL to fetch from"):
        branches(url, GIT)


def test_git_may_use_only_the_protocol_of_the_url_and_leaves_nothing(
    tmp_path: Path, git_script: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = filled(tmp_path)
    logged = f'echo "$GIT_ALLOW_PROTOCOL" >> {tmp_path}/protocols'
    git_script(f'case "$*" in *ls-remote*) {logged};; esac; exec "$GIT" "$@"')
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(work))
    assert branches(f"file://{path}", GIT).refs
    with pytest.raises(GitFailed):
        branches("https://localhost:1/x.git", GIT, lambda: SECRET)
    assert (tmp_path / "protocols").read_text().split() == ["file", "https"]
    assert list(work.iterdir()) == []


def test_a_server_that_does_not_answer_is_given_up(git_script: Callable[[str], None]) -> None:
    git_script('case "$*" in *ls-remote*) sleep 60;; esac; exec "$GIT" "$@"')
    with pytest.raises(GitFailed, match="git ls-remote took longer than 2 s"):
        branches("https://localhost:1/x.git", Git(2))
