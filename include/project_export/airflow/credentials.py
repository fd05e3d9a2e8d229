"""The credentials of a task: those in Airflow's connections."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowNotFoundException
from airflow.sdk.log import mask_secret

from project_export.credentials import Credentials, Login, Opened
from project_export.errors import SettingMissing, SettingRefused
from project_export.store.refusals import remote_refusals
from project_export.variables import variable

_SECRET = re.compile(r"(?i)secret|token|passw|key|sas|connection_string|authorization")
_S3 = ("s3", "s3a")
_S3_EXTRA: Mapping[str, tuple[str, ...]] = {
    "aws_access_key_id": ("key",),
    "aws_secret_access_key": ("secret",),
    "aws_session_token": ("token",),
    "endpoint_url": ("endpoint_url",),
    "region_name": ("client_kwargs", "region_name"),
    "verify": ("client_kwargs", "verify"),
    "config_kwargs": ("config_kwargs",),
}
"""Where s3fs expects what the extra of a connection to AWS has."""


class ConnectionCredentials(Credentials):
    """The credentials in connections, which are looked up on first use. git_conn_id: see the setting."""

    def __init__(self, git_conn_id: str) -> None:
        self._git_conn_id = git_conn_id
        self._login: Login | None = None

    def filesystem(self, scheme: str, connection: str, setting: str) -> Opened:
        """See `Credentials.filesystem`. A provider that knows the scheme makes it; for s3, none is needed."""
        import fsspec  # few tasks need these
        from airflow.sdk.io import get_fs, has_fs

        found = _found(connection, variable(setting))
        secrets = frozenset(_secrets(found))
        for secret in secrets - {found.login}:
            mask_secret(secret)
        with remote_refusals(f"{scheme}://{connection}@", secrets):
            if has_fs(scheme):
                return Opened(get_fs(scheme, connection), secrets)
            if scheme in _S3:
                return Opened(fsspec.filesystem(scheme, skip_instance_cache=True, **_for_s3fs(found)), secrets)
        raise SettingRefused(
            f"{variable(setting)} names the connection {connection!r}, but no provider that is installed opens "
            f"{scheme}:// with a connection. Install the provider where the tasks run."
        )

    def login(self) -> Login:
        """See `Credentials.login`."""
        if not self._git_conn_id:
            return Login()
        if self._login is None:
            found = _found(self._git_conn_id, variable("git_conn_id"))
            self._login = Login(found.login or "", found.password or "")
        return self._login


def _found(conn_id: str, setting: str) -> Connection:
    try:
        found: Connection = Connection.get(conn_id)
    except AirflowNotFoundException as error:
        raise SettingMissing(f"Airflow has no connection {conn_id!r}, which {setting} names. Add it.") from error
    return found


def _for_s3fs(connection: Connection) -> dict[str, Any]:
    """Return the options of s3fs that correspond to a connection. Raises SettingRefused if its extra has more."""
    extra = connection.extra_dejson
    unknown = extra.keys() - _S3_EXTRA.keys()
    if unknown:
        raise SettingRefused(
            f"The extra of the connection {connection.conn_id!r} has {', '.join(sorted(unknown))}, which only the "
            "provider of Amazon understands. Install apache-airflow-providers-amazon[s3fs] where the tasks run, or "
            f"remove them; without it, these are understood: {', '.join(_S3_EXTRA)}."
        )
    options: dict[str, Any] = {}
    for name, value in extra.items():
        *above, last = _S3_EXTRA[name]
        (options.setdefault(above[0], {}) if above else options)[last] = value
    own = {"key": connection.login, "secret": connection.password}
    return options | {name: value for name, value in own.items() if value}


def _secrets(connection: Connection) -> Iterator[str]:
    """Yield the texts of a connection that nothing may show."""
    yield from filter(None, (connection.login, connection.password))
    yield from _texts(connection.extra_dejson)


def _texts(value: Any, name: str = "") -> Iterator[str]:
    """Yield the texts in a JSON value whose name says that they are secret."""
    if isinstance(value, Mapping):
        for key, nested in value.items():
            yield from _texts(nested, name if _SECRET.search(name) else key)
    elif isinstance(value, str) and value and _SECRET.search(name):
        yield value
