"""Small git repositories for tests, made and judged by git itself, without the package that is tested."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_DEFAULT_REF_FORMAT": "files",
    **{f"GIT_{who}_{what}": "jane@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    **{f"GIT_{who}_DATE": "2024-01-02T03:04:05Z" for who in ("AUTHOR", "COMMITTER")},
}
NAME = "@hashed/6b/86/6b86.git"


def git(*words: str | Path, at: Path | None = None, stdin: bytes = b"") -> str:
    """Run git and return what it prints, without the last newline. at: the git dir."""
    place = [f"--git-dir={at}"] if at else []
    done = subprocess.run(
        ["git", "-c", "protocol.file.allow=always", *place, *words],
        env=ENVIRONMENT, input=stdin, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    return done.stdout.decode("utf-8", "surrogateescape").rstrip("\n")


def empty(root: Path, name: str = NAME, object_format: str = "sha1") -> Path:
    """Make a repository without refs, whose HEAD names main, and return its path."""
    path = root / name
    words = ("--template=", "--initial-branch=main", f"--object-format={object_format}")
    git("init", "--quiet", "--bare", *words, path)
    return path


def blob(path: Path, content: bytes) -> str:
    """Write a blob and return its id."""
    return git("hash-object", "-w", "--stdin", at=path, stdin=content)


def commit(path: Path, content: bytes, *parents: str) -> str:
    """Write a commit with one file and return its id."""
    tree = git("mktree", at=path, stdin=f"100644 blob {blob(path, content)}\tfile\n".encode())
    return git("commit-tree", tree, *(word for one in parents for word in ("-p", one)), at=path, stdin=content)


def filled(root: Path, name: str = NAME, object_format: str = "sha1") -> Path:
    """Make a repository with refs as GitLab has them, and return its path; see `fill`."""
    return fill(empty(root, name, object_format))


def fill(path: Path) -> Path:
    """Give a repository two branches, an annotated tag, and refs of merge requests, pipelines and kept commits."""
    who = "jane <jane@example.com> 1704164645 +0000"
    stream = "".join(
        f"commit {ref}\nmark :{mark}\ncommitter {who}\ndata 1\n{mark}\n{parent}M 644 inline file\ndata 1\n{mark}\n\n"
        for mark, ref, parent in [
            (4, "refs/heads/main", ""),
            (1, "refs/heads/main", "from :4\n"),
            (2, "refs/heads/feature/x", "from :1\n"),
            (3, "refs/heads/main", "from :1\n"),
        ]
    )
    for ref, mark in {
        "refs/merge-requests/1/head": 2,
        "refs/keep-around/first": 1,
        "refs/pipelines/7": 3,
        "refs/environments/production/deployments/1": 1,
    }.items():
        stream += f"reset {ref}\nfrom :{mark}\n\n"
    stream += f"tag v1\nfrom :3\ntagger {who}\ndata 2\nv1\n"
    git("fast-import", "--quiet", at=path, stdin=stream.encode())
    return path


def refs(path: Path) -> dict[str, str]:
    """Return the id of each ref's object."""
    lines = git("for-each-ref", "--format=%(refname) %(objectname)", at=path).split("\n")
    return dict(line.rsplit(" ", 1) for line in lines if line)


def loose(path: Path, object_id: str) -> Path:
    """Return the file of a loose object."""
    return path / "objects" / object_id[:2] / object_id[2:]


def cloned(bundle: bytes, folder: Path) -> dict[str, str]:
    """Clone a bundle as a mirror, let git check all objects, and return the refs of the clone."""
    file, clone = folder / "checked.bundle", folder / "checked.git"
    file.write_bytes(bundle)
    git("clone", "--quiet", "--mirror", file, clone)
    git("fsck", "--full", "--strict", at=clone)
    return refs(clone)


@pytest.fixture
def git_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A function that puts a program `git` with this script before all others; $GIT is the real one."""

    def put(script: str) -> None:
        folder = tmp_path / "bin"
        folder.mkdir()
        (folder / "git").write_text(f"#!/bin/sh\nGIT={shutil.which('git')}\n{script}\n")
        (folder / "git").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    return put
