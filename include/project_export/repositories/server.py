"""Servers with repositories, and how git reaches them: by one protocol, without showing the password anywhere."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from project_export.credentials import without_credentials
from project_export.errors import GitFailed, RepositoryRefused
from project_export.repositories.call import Call
from project_export.repositories.folders import writing
from project_export.repositories.git import Git
from project_export.repositories.refs import HEAD, Refs

PROTOCOLS = ("https", "ssh", "file")
DEFAULT_USER = "oauth2"
"""The user for a password where the URL names none; GitLab accepts any with a token."""

LIST_SECONDS = 300.0

_BRANCHES = "refs/heads/"
_PASSWORD = "PROJECT_EXPORT_GIT_PASSWORD"
_ASKPASS = f"""#!/bin/sh
printf '%s\\n' "${_PASSWORD}"
"""

# What an administrator may have set for the tasks, which git needs: certificates, a proxy, an agent with keys.
_PASSED = (
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO"),
    *("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"),
    "SSH_AUTH_SOCK",
)

# Git would ask for a password, and hand it out, at a host that a redirect names.
_CONFIGURATION = {"http.followRedirects": "false", "credential.helper": "", "fetch.unpackLimit": "1"}


@dataclass(frozen=True)
class Served:
    """A repository on a server; `served` makes it. work: a temporary folder that git's user may write to."""

    work: Path
    _git: Git
    _parts: SplitResult = field(repr=False)
    _url: str = field(repr=False)
    _secret: str = field(repr=False)
    _askpass: Path | None

    def call(
        self,
        *words: str,
        then: tuple[str | Path, ...] = (),
        more: Mapping[str, str] | None = None,
        most_seconds: float = math.inf,
    ) -> Call:
        """Start git. words: the command and its options, before the address; then: what follows it.

        more: environment. most_seconds: see `Git.call`. Raises GitUnusable.
        """
        environment = {name: os.environ[name] for name in _PASSED if name in os.environ}
        environment["GIT_SSH_COMMAND"] = "ssh -o BatchMode=yes -o StrictHostKeyChecking=yes"
        environment["GIT_SSH_VARIANT"] = "ssh"
        if self._askpass:
            environment |= {_PASSWORD: self._secret, "GIT_ASKPASS": str(self._askpass)}
        return self._git.call(
            *(*words, "--", self._address(), *then),
            protocols=self._parts.scheme,
            environment={**environment, **(more or {})},
            configuration=_CONFIGURATION,
            secrets=[self._secret],
            most_seconds=most_seconds,
        )

    def failed(self, call: Call) -> GitFailed:
        """Return the error of a call that has failed."""
        return GitFailed(
            f"git cannot fetch {without_credentials(self._url, [self._secret])}{call.said()}. Is the address right, "
            "can it be reached from here, and may its user read the repository?"
        )

    def _address(self) -> str:
        """Return the URL without a password; with a user if git must not ask for one."""
        host = self._parts.netloc.rpartition("@")[2]
        user = (self._parts.netloc.rpartition("@")[0]).partition(":")[0] or (DEFAULT_USER if self._secret else "")
        return self._parts._replace(netloc=f"{user}@{host}" if user else host).geturl()


@contextmanager
def served(url: str, git: Git, folder: Path | None, password: Callable[[], str] | None) -> Iterator[Served]:
    """Return the repository at `url`: https, ssh or file; it may name a user.

    Git may use no other protocol, and follows no redirect. folder: where the temporary folder is made; git's user must
    be able to reach it. password: returns the password or token for https, which git gets by askpass: it is in no
    command line, message or file. ssh uses the keys and the known hosts of git's user, and asks nothing. Raises
    RepositoryRefused for another URL, GitUnusable.
    """
    git.check()
    parts = _parsed(url)
    secret = password() if password else unquote(parts.password or "")
    with git.folder(folder) as work:
        yield Served(work, git, parts, url, secret, _askpass(work, git) if secret else None)


def branches(url: str, git: Git, password: Callable[[], str] | None = None) -> Refs:
    """Return the branches of the repository at `url`, and HEAD, without fetching them.

    If HEAD names a branch that does not exist, it counts as missing: servers do not advertise it. Arguments: see
    `served`; the time limit is at most LIST_SECONDS. Raises RepositoryRefused, GitFailed, GitUnusable.
    """
    head, found = None, {}
    with (
        served(url, git, None, password) as server,
        server.call(
            "ls-remote", "--symref", "--quiet", then=(HEAD, f"{_BRANCHES}*"), most_seconds=LIST_SECONDS
        ) as call,
    ):
        for line in call.lines():
            value, _, name = line.decode("utf-8", "surrogateescape").partition("\t")
            if name == HEAD and value.startswith("ref: "):
                head = value.removeprefix("ref: ")
            elif name == HEAD or name.startswith(_BRANCHES):
                found[name] = value
        if call.end():
            raise server.failed(call)
    head_id = found.pop(HEAD, None)
    return Refs(head, head_id, found, "sha256" if any(len(one) == 64 for one in found.values()) else "sha1")


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


def _askpass(work: Path, git: Git) -> Path:
    """Write the program that git asks for the password: it prints what only its environment has."""
    program = work / "askpass"
    with writing(work):
        program.write_text(_ASKPASS)
    program.chmod(0o500)
    git.own(program)
    return program
