"""Credentials for what a source keeps outside its database. No setting contains them.

In a shell they come from the environment, which `Credentials` reads. Another scheduler has its own subclass.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from project_export.errors import SettingMissing
from project_export.variables import variable

GIT_PASSWORD = variable("git_password")
"""The environment variable with the password for git in a shell. It is not a setting."""

_USERINFO = re.compile(r"://[^\s/'\"]*@")
_OF_BUCKETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


@dataclass(frozen=True)
class Login:
    """User and password, or token, for a server. Either may be empty."""

    user: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True)
class Opened:
    """A file system of fsspec that has its credentials. secrets: texts that no message may contain."""

    fs: Any = field(repr=False)
    secrets: frozenset[str] = field(default=frozenset(), repr=False)


class Credentials:
    """The credentials of the environment.

    All methods must be called in the main thread of a process, and in the process that uses what they return: a file
    system that was made before a fork hangs or fails.
    """

    def filesystem(self, scheme: str, connection: str, setting: str) -> Opened:
        """Return the file system of a named connection. scheme: of the URI, such as s3. setting: that names it.

        Raises SettingMissing if there is no such connection, SettingRefused if it does not suit the scheme,
        StoreUnusable if a package is missing.
        """
        raise SettingMissing(
            f"{variable(setting)} names the connection {connection!r} for {scheme}://, but only Airflow has "
            f"connections. In a shell, write the URI without `{connection}@`, and put the credentials where the "
            "library of the object store reads them: for s3, into AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and "
            "AWS_ENDPOINT_URL."
        )

    def login(self) -> Login:
        """Return user and password for git servers. Raises SettingMissing."""
        return Login(password=os.environ.get(GIT_PASSWORD, ""))


def of_environment() -> frozenset[str]:
    """Return the credentials of object stores that the environment contains, which no message may contain."""
    return frozenset(filter(None, map(os.environ.get, _OF_BUCKETS)))


def without_credentials(text: str, secrets: Iterable[str] = ()) -> str:
    """Return the text without the user part of URLs and without the secrets.

    >>> without_credentials("fatal: https://oauth2:glpat-1@git.example/x not found; glpat-1", ["glpat-1"])
    'fatal: https://***@git.example/x not found; ***'
    """
    text = _USERINFO.sub("://***@", text)
    forms = {form for secret in secrets if secret for form in (secret, quote(secret, safe=""))}
    for secret in sorted(forms, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text
