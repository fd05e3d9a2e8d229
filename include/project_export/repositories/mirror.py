"""Mirrors of repositories that are fetched from a URL: fresh, and removed afterwards.

A server does not advertise all refs: GitLab keeps back keep-around refs and others of its own, so a mirror lacks them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from project_export.credentials import without_credentials
from project_export.errors import GitFailed, RepositoryRefused
from project_export.repositories.git import Git
from project_export.repositories.repository import Repository

PROTOCOLS = ("https", "ssh", "file")
DEFAULT_USER = "oauth2"
"""The user for a password where the URL names none; GitLab accepts any with a token."""

_NAME = "mirror.git"
_PASSWORD = "PROJECT_EXPORT_GIT_PASSWORD"
_ASKPASS = f"""#!/bin/sh
printf '%s\\n' "${_PASSWORD}"
"""

# What an administrator may have set for the tasks, which a fetch needs: certificates, a proxy, an agent with keys.
_PASSED = (
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO"),
    *("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"),
    "SSH_AUTH_SOCK",
)

# Git would ask for a password, and hand it out, at a host that a redirect names.
_CONFIGURATION = {"http.followRedirects": "false", "credential.helper": "", "fetch.unpackLimit": "1"}


@contextmanager
def mirrored(url: str, git: Git, folder: Path, password: Callable[[], str] | None = None) -> Iterator[Repository]:
    """Fetch all refs that the server at `url` advertises into a new repository, and remove it at the end.

    url: https, ssh or file; may name a user. Git may use no other protocol, and follows no redirect. folder: where the
    mirror is made; git's user must be able to reach it. password: returns the password or token for https, which git
    gets by askpass: it is in no command line, message or file. ssh uses the keys and the known hosts of git's user, and
    asks nothing. Raises RepositoryRefused for another URL, GitFailed if git cannot fetch.
    """
    git.check()
    parts = _parsed(url)
    secret = password() if password else unquote(parts.password or "")
    with git.folder(folder) as work:
        environment = {name: os.environ[name] for name in _PASSED if name in os.environ}
        environment["GIT_SSH_COMMAND"] = "ssh -o BatchMode=yes -o StrictHostKeyChecking=yes"
        environment["GIT_SSH_VARIANT"] = "ssh"
        if secret:
            environment |= {_PASSWORD: secret, "GIT_ASKPASS": str(_askpass(work, git))}
        options = [word for key, value in _CONFIGURATION.items() for word in ("-c", f"{key}={value}")]
        with git.call(
            *options,
            *("clone", "--mirror", "--quiet", "--template=", "--", _address(parts, with_user=bool(secret))),
            work / _NAME,
            protocols=parts.scheme,
            environment=environment,
            secrets=[secret],
        ) as call:
            code, _ = call.whole()
            if code:
                raise GitFailed(
                    f"git cannot fetch {without_credentials(url, [secret])}{call.said()}. Is the address right, can it "
                    "be reached from here, and may its user read the repository?"
                )
        repository = Repository.open(work, _NAME, git)
        assert repository is not None
        yield repository


def _parsed(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in PROTOCOLS and bool(parts.hostname or parts.scheme == "file") and parts.port != 0
    except ValueError:
        valid = False
    if not valid or any(ord(letter) <= 0x20 or ord(letter) == 0x7F for letter in url):
        raise RepositoryRefused(
            f"{without_credentials(url)!r} is not a URL to fetch from. Give https://..., ssh://... or file:///..."
        )
    return parts


def _address(parts: SplitResult, *, with_user: bool) -> str:
    """Return the URL without a password; with a user if git must not ask for one."""
    host = parts.netloc.rpartition("@")[2]
    user = (parts.netloc.rpartition("@")[0]).partition(":")[0] or (DEFAULT_USER if with_user else "")
    return parts._replace(netloc=f"{user}@{host}" if user else host).geturl()


def _askpass(work: Path, git: Git) -> Path:
    """Write the program that git asks for the password: it prints what only its environment has."""
    program = work / "askpass"
    program.write_text(_ASKPASS)
    program.chmod(0o500)
    git.own(program)
    return program
