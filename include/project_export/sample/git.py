"""Calls of git for the sample's repositories."""

from __future__ import annotations

from pathlib import Path

from project_export.repositories import Git

TIMEOUT_SECONDS = 3600.0


class GitError(Exception):
    """Git refused, with its own words; the caller knows what that means."""


def git(*arguments: str | Path, protocols: str = "") -> str:
    """Run git without input and return what it prints. Paths must be absolute.

    protocols: those that it may use, separated by colons; none by default. Raises GitError if git refuses; GitUnusable
    if it is not installed; GitFailed if it is killed or takes longer than an hour.
    """
    with Git(TIMEOUT_SECONDS).call(*arguments, protocols=protocols) as call:
        code, output = call.whole()
        if code:
            raise GitError(f"exit code {code}{call.said()}")
    return output.decode("utf-8", "surrogateescape")
