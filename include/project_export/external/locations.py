"""The places of a source's content outside its database, as a setting names them."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from urllib.parse import quote

from project_export.credentials import Credentials, without_credentials
from project_export.errors import BadRequest, SettingRefused, nearest
from project_export.external.base import External
from project_export.external.opened import open_external
from project_export.store.uris import has_password, place

_WITH_PASSWORD = "https://"
_SEPARATED = re.compile(r"[,\s]+(?=[A-Za-z_][\w.-]*=)")


class Locations:
    """The places of a source's content outside its database, by the names that its tree declares.

    uris: by name, or by name and part, such as `repositories.default`. credentials: for buckets and git servers.
    """

    def __init__(self, uris: Mapping[str, str] | None = None, credentials: Credentials | None = None) -> None:
        self.credentials = credentials or Credentials()
        self._uris = uris or {}
        self._opened: dict[str, External] = {}

    @classmethod
    def of(cls, setting: str, declared: Collection[str], credentials: Credentials | None = None) -> Locations:
        """Return the locations of a setting: `uploads=s3://CONNECTION@bucket, repositories.default=/srv/repositories`.

        declared: the names of the tree. Raises SettingRefused, which names what is wrong.
        """
        uris: dict[str, str] = {}
        for item in _SEPARATED.split(setting.strip()) if setting.strip() else ():
            name, equals, uri = item.partition("=")
            base = name.partition(".")[0]
            if not equals or not uri.strip():
                raise SettingRefused(
                    f"PROJECT_EXPORT_LOCATIONS: {without_credentials(item)!r} is not name=URI. Separate several of "
                    "them by commas."
                )
            if base not in declared:
                known = nearest(base, declared) if declared else "the tree declares none"
                raise SettingRefused(f"PROJECT_EXPORT_LOCATIONS: location {base} is unknown; {known}")
            uris[name] = uri.strip().rstrip(",")
            if has_password(uris[name]):
                raise SettingRefused(
                    f"PROJECT_EXPORT_LOCATIONS: location {name} contains a password, and settings are not secret. "
                    "Put it into a connection of Airflow: for a bucket, write its id before the @; for git servers, "
                    "set PROJECT_EXPORT_GIT_CONN_ID."
                )
            try:
                place(uris[name])
            except BadRequest as error:
                raise SettingRefused(
                    f"PROJECT_EXPORT_LOCATIONS: {name} is neither an absolute path nor a URI; got {uris[name]!r}"
                ) from error
        return cls(uris, credentials)

    def uri(self, name: str, part: str = "") -> str | None:
        """Return the URI of a location; of its part, if there is one for it; None if the setting has neither."""
        return self._uris.get(f"{name}.{part}", self._uris.get(name))

    def has(self, name: str) -> bool:
        """Return whether the setting has this location."""
        return self.uri(name) is not None

    def has_any(self, name: str) -> bool:
        """Return whether the setting has this location, or one of its parts."""
        return any(one.partition(".")[0] == name for one in self._uris)

    def files(self, name: str) -> External:
        """Return the files of a location that the setting has; see `open_external`."""
        if name not in self._opened:
            self._opened[name] = open_external(self._uris[name], self.credentials)
        return self._opened[name]

    def login(self, url: str) -> tuple[str, Callable[[], str] | None]:
        """Return the URL of a repository with a user, if it is known, and what returns the password.

        Only https needs a password; ssh has keys. Raises what `Credentials.login` raises.
        """
        if not url.startswith(_WITH_PASSWORD):
            return url, None
        login, rest = self.credentials.login(), url.removeprefix(_WITH_PASSWORD)
        if login.user and "@" not in rest.partition("/")[0]:
            url = f"{_WITH_PASSWORD}{quote(login.user, safe='')}@{rest}"
        return url, (lambda: login.password) if login.password else None

    def read(self, name: str, file: str, offset: int, size: int) -> bytes | None:
        """Return a range of bytes of a file; see `External.read`."""
        return self.files(name).read(file, offset, size)

    def cancel(self) -> None:
        """Give up all requests that are waiting for an answer; see `External.cancel`."""
        for external in tuple(self._opened.values()):
            external.cancel()

    def close(self) -> None:
        """Close what is open."""
        for external in self._opened.values():
            external.close()
