"""Calls of git for the sample's repositories, without the caller's environment and configuration."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from project_export.errors import BadRequest

TIMEOUT_SECONDS = 3600
_ENVIRONMENT = {
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_TERMINAL_PROMPT": "0",
}


class GitError(Exception):
    """Git failed, with its own words on one line; the caller knows what that means."""


def git(*arguments: str | Path, protocols: str = "") -> str:
    """Run git without input and return what it prints.

    protocols: those that it may use, separated by colons; none by default. Raises GitError if git fails or takes longer
    than an hour, and BadRequest if it is not installed.
    """
    environment = {**_ENVIRONMENT, "PATH": os.environ.get("PATH", os.defpath), "GIT_ALLOW_PROTOCOL": protocols}
    try:
        done = subprocess.run(
            ["git", *map(str, arguments)],
            env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=TIMEOUT_SECONDS,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise BadRequest("The sample's repositories are made with git, which is not installed. Install it.") from error
    except subprocess.TimeoutExpired as error:
        raise GitError(f"it took longer than {TIMEOUT_SECONDS} s") from error
    if done.returncode:
        words = " ".join(done.stderr.decode("utf-8", "replace").split())
        raise GitError(f"exit code {done.returncode}: {words}")
    return done.stdout.decode("utf-8", "surrogateescape")
