"""How git is called: which program, as which user, within which limits, and with nothing of the task's environment."""

from __future__ import annotations

import math
import os
import pwd
import shutil
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from project_export.errors import GitUnusable
from project_export.repositories.call import Call, Identity
from project_export.repositories.folders import temporary, writing

NEEDED = "2.45 or newer, or a security release since 2.39.4, 2.40.2, 2.41.1, 2.42.2, 2.43.4 or 2.44.1"
"""The versions of git that know GIT_NO_LAZY_FETCH; some distributions have added it to older ones."""

_checked: set[tuple[str, str]] = set()
"""Each git, with its user, that is new enough."""

_ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_PAGER": "cat",
    "HOME": "/nonexistent",
    "LC_ALL": "C",
}

# Bounds of memory. A blob above bigFileThreshold is streamed. packedGitLimit is for pages of files, which the system
# can take back at any time; a lower one costs time (a third at 128m).
_BOUNDS = {
    "core.bigFileThreshold": "16m",
    "core.deltaBaseCacheLimit": "32m",
    "core.packedGitWindowSize": "32m",
    "core.packedGitLimit": "256m",
    "pack.deltaCacheSize": "32m",
    "pack.windowMemory": "64m",
    "pack.threads": "1",
}

# Files that repeat what the objects say are not read: if they are damaged or forged, a bundle would lack objects, and
# git would not notice.
_DISTRUSTED = {"core.commitGraph": "false", "core.multiPackIndex": "false", "pack.useBitmaps": "false"}

_QUIET = {
    "core.attributesFile": os.devnull,
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.warnAmbiguousRefs": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
}


@dataclass(frozen=True)
class Git:
    """How git is called.

    timeout_seconds: the time limit of each call; reading a bundle is one call, including what is done with its chunks.
    user: the unprivileged user to run git as where this process is root; empty, or where this process is not root: as
    this process. git is found on the PATH.
    """

    timeout_seconds: float
    user: str = ""
    _running: set[Call] = field(default_factory=set, init=False, repr=False, compare=False)

    def cancel(self) -> None:
        """Kill what this object has called and still runs; its reader gets GitFailed.

        Can be called from another thread, or from a signal handler.
        """
        for call in tuple(self._running):
            call.cancel()

    def check(self) -> None:
        """Raise GitUnusable if git is missing or too old, or if its user does not exist; asks each git only once."""
        asked = (self.program(), self.user)
        if asked not in _checked:
            self._check()
            _checked.add(asked)

    def call(
        self,
        *words: str | Path,
        protocols: str = "",
        environment: Mapping[str, str] | None = None,
        configuration: Mapping[str, str] | None = None,
        stdin: Path | None = None,
        secrets: Iterable[str] = (),
        shown: Mapping[str, str] | None = None,
        most_seconds: float = math.inf,
    ) -> Call:
        """Start git and return the call, to be used as a context manager.

        words: of the command; the first that is not an option names it. protocols: that git may use to fetch, separated
        by colons. environment, configuration: for git, beside the clean ones. most_seconds: a shorter time limit
        for this call. Other arguments: see `Call`. Raises GitUnusable.
        """
        bounds = {**_BOUNDS, **_DISTRUSTED, **_QUIET, **(configuration or {})}
        options = [word for key, value in bounds.items() for word in ("-c", f"{key}={value}")]
        return Call(
            next((str(word) for word in words if not str(word).startswith("-")), ""),
            [self.program(), *options, *words],
            self._environment(protocols, environment or {}),
            timeout_seconds=min(self.timeout_seconds, most_seconds),
            stdin=stdin or Path(os.devnull),
            identity=self.identity(),
            secrets=secrets,
            shown=shown,
            running=self._running,
        )

    def program(self) -> str:
        """Return the path of git. Raises GitUnusable if there is none on the PATH."""
        found = shutil.which("git")
        if found is None:
            raise GitUnusable(f"There is no git on the PATH of this process. Install it for the tasks: {NEEDED}.")
        return found

    def identity(self) -> Identity:
        """Return the user to run git as; empty: as this process. Raises GitUnusable if the user does not exist."""
        if not self.user or os.geteuid() != 0:
            return {}
        try:
            user = pwd.getpwnam(self.user)
        except KeyError:
            raise GitUnusable(f"git cannot run as the user {self.user!r}: this machine has no such user.") from None
        groups = os.getgrouplist(self.user, user.pw_gid)
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": groups}

    def folder(self, below: Path | None = None) -> AbstractContextManager[Path]:
        """Return a context manager with a temporary folder that git's user, and no other, may read and write.

        below: where; by default the system's folder for temporary files.
        """
        identity = self.identity()
        return temporary(below, (identity["user"], identity["group"]) if identity else None)

    def own(self, path: Path) -> None:
        """Make git's user the owner of a file or folder that this process has just made."""
        identity = self.identity()
        if identity:
            os.chown(path, identity["user"], identity["group"])

    def _check(self) -> None:
        """Let git miss an object of a repository that names a program to fetch it with, and see whether that runs."""
        with self.folder() as folder:
            ran = folder / "ran"
            address = str(ran).replace("\\", r"\\").replace('"', r"\"")
            with writing(folder):
                for name in ("objects", "refs"):
                    (folder / name).mkdir()
                (folder / "HEAD").write_text("ref: refs/heads/none\n")
                (folder / "config").write_text(
                    "[core]\n\trepositoryFormatVersion = 1\n\tbare = true\n[extensions]\n\tpartialClone = origin\n"
                    f'[remote "origin"]\n\tpromisor = true\n\turl = "{address}"\n\tuploadPack = touch\n'
                )
            with self.call(f"--git-dir={folder}", "cat-file", "-e", "1" * 40, protocols="file") as call:
                call.whole()
            if ran.exists():
                raise GitUnusable(
                    f"{self.program()} is too old: it runs programs that a repository names, even with "
                    f"GIT_NO_LAZY_FETCH. Install git {NEEDED}."
                )

    def _environment(self, protocols: str, more: Mapping[str, str]) -> dict[str, str]:
        path = os.environ.get("PATH", os.defpath)
        return {**_ENVIRONMENT, "PATH": path, "GIT_ALLOW_PROTOCOL": protocols, **more}
