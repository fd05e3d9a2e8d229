"""The classes that describe a format; their objects are immutable."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from project_export.variables import variable


@dataclass(frozen=True)
class FromSetting:
    """The content of a file: the value of the setting of this name."""

    name: str


@dataclass(frozen=True)
class Escapes:
    """Characters that a format escapes in strings.

    replaced: the JSON escape for each character, by the character's UTF-8. These characters occur only in strings, so a
    whole JSON text can be escaped at once.
    """

    replaced: Mapping[bytes, bytes] = field(default_factory=dict)

    def escape(self, text: bytes) -> bytes:
        """Return a JSON text, or a piece of one, with these characters escaped."""
        text = _replaced(text, self._short)
        if any(map(text.__contains__, self._leads)) and self._any_long.search(text):
            text = _replaced(text, self._long)
        return text

    @cached_property
    def _short(self) -> Mapping[bytes, bytes]:
        """Those of one byte."""
        return {character: escaped for character, escaped in self.replaced.items() if len(character) == 1}

    @cached_property
    def _long(self) -> Mapping[bytes, bytes]:
        return {character: escaped for character, escaped in self.replaced.items() if len(character) > 1}

    @cached_property
    def _leads(self) -> frozenset[bytes]:
        """Their first bytes: to look for one byte is ten times as fast as to look for several."""
        return frozenset(character[:1] for character in self._long)

    @cached_property
    def _any_long(self) -> re.Pattern[bytes]:
        """Finds any of these, which are rare: one search is three times as fast as looking for each of them."""
        return re.compile(b"|".join(map(re.escape, self._long)))

    def whole(self, text: bytes) -> int:
        """Return how many bytes of a piece can be escaped without knowing the next piece.

        >>> Escapes({b"abc": b"x"}).whole(b"..ab"), Escapes({b"abc": b"x"}).whole(b"..abc"), Escapes().whole(b"..ab")
        (2, 5, 4)
        """
        return min((len(text) - _begun(text, character) for character in self.replaced), default=len(text))


def _replaced(text: bytes, characters: Mapping[bytes, bytes]) -> bytes:
    for character, escaped in characters.items():
        text = text.replace(character, escaped)
    return text


def _begun(text: bytes, character: bytes) -> int:
    """Return how many bytes at the end of the text may be the start of the character."""
    lengths = range(len(character) - 1, 0, -1)
    return next((length for length in lengths if text.endswith(character[:length])), 0)


@dataclass(frozen=True)
class Limits:
    """What an importer accepts, in bytes.

    line: of one record, and of the root's file. unpacked: of the whole tar. stored: of the archive file.
    on_line, on_unpacked, on_stored: what the importer does above the limit, as a sentence without a full stop.
    """

    line: int
    unpacked: int
    stored: int
    on_line: str = "the importer refuses it"
    on_unpacked: str = "the importer refuses it"
    on_stored: str = "the importer refuses it"


@dataclass(frozen=True)
class Format:
    """How archives of a tree are written, and who reads them.

    application: the name of the application whose database is exported, empty if the format belongs to none.
    version: the setting that holds its version. files: by name, what an archive has before the records: a text, or the
    value of a setting.
    escapes: what is escaped beyond what JSON requires. importer: the data file with the rules of its importer, without
    its suffix, empty if `verify` knows no importer. limits: of that importer, None if there are none.
    """

    name: str
    application: str = ""
    version: str = "application_version"
    files: Mapping[str, str | FromSetting] = field(default_factory=dict)
    escapes: Escapes = field(default_factory=Escapes)
    importer: str = ""
    limits: Limits | None = None

    @property
    def settings(self) -> tuple[str, ...]:
        """The settings that supply content of the files."""
        return tuple(content.name for content in self.files.values() if isinstance(content, FromSetting))

    @property
    def version_variable(self) -> str:
        """The environment variable that holds the application's version."""
        return variable(self.version)

    def described(self, version: str) -> str:
        """Return what messages call a version of the application: `GitLab 18.6.0`, or `version 18.6.0`."""
        return f"{self.application or 'version'} {version}"

    def written(self, setting: Callable[[str], str]) -> dict[str, str]:
        """Return the files by name with their texts. setting: returns the value of a setting."""
        return {
            name: setting(content.name) if isinstance(content, FromSetting) else content
            for name, content in self.files.items()
        }
