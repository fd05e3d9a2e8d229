"""What relations of other kinds than records are made of: files and repositories that belong to rows of the source.

Each row of such a relation names one file of the archive and the places where its content may be. The names are
templates over the relation's keys:

    @hashed/{id|sha256|0:2}/{id|sha256|2:4}/{id|sha256}.git
    uploads/{path|last:2}
    snippets/{hexdigest}.bundle        (hexdigest is one of `digests`)
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from project_export.tree.forms import Scalar

_FIELD = re.compile(r"\{([^{}]*)\}")
_SLICE = re.compile(r"(\d+):(\d+)")
_LAST = re.compile(r"last:([1-9])")
_PLAIN = ("sha256", "ruby_time")


class Malformed(ValueError):
    """A template that cannot be read."""


@dataclass(frozen=True)
class Location:
    """A folder, a bucket, or a server with content of the source; the setting `locations` says where it is.

    description: for people: what is there.
    """

    name: str
    description: str


@dataclass(frozen=True)
class Field:
    """A key in a template, and the filters that its value passes.

    Filters: `sha256`, in hexadecimal; a slice of characters such as `0:2`; `last:2`, the last two names of a path;
    `ruby_time`, an exported time in the form of Ruby's Time#to_s.
    """

    key: str
    filters: tuple[str, ...] = ()

    def text(self, value: Any) -> str:
        """Return the filtered value."""
        text = str(value)
        for name in self.filters:
            if name == "sha256":
                text = hashlib.sha256(text.encode()).hexdigest()
            elif name == "ruby_time":
                text = _ruby_time(text)
            elif found := _SLICE.fullmatch(name):
                text = text[int(found[1]) : int(found[2])]
            elif found := _LAST.fullmatch(name):
                text = "/".join(text.split("/")[-int(found[1]) :])
        return text


@dataclass(frozen=True)
class Template:
    """A text with keys in braces."""

    pieces: tuple[str | Field, ...]

    @classmethod
    def parse(cls, text: str) -> Template:
        """Return the template of a text. Raises Malformed.

        >>> Template.parse("a/{id|sha256|0:2}").pieces
        ('a/', Field(key='id', filters=('sha256', '0:2')))
        """
        pieces: list[str | Field] = []
        at = 0
        for found in _FIELD.finditer(text):
            pieces += [text[at : found.start()]] if found.start() > at else []
            key, *filters = found[1].split("|")
            for name in filters:
                if name not in _PLAIN and not _SLICE.fullmatch(name) and not _LAST.fullmatch(name):
                    raise Malformed(f"the filter {name!r} is unknown; use {', '.join(_PLAIN)}, 0:2 or last:2")
            pieces.append(Field(key, tuple(filters)))
            at = found.end()
        pieces += [text[at:]] if text[at:] else []
        if any(isinstance(piece, str) and set(piece) & set("{}") for piece in pieces):
            raise Malformed("a brace is not closed, or not opened")
        return cls(tuple(pieces))

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that it names."""
        return tuple(piece.key for piece in self.pieces if isinstance(piece, Field))

    @property
    def fixed(self) -> str | None:
        """Its text if it names no key."""
        return None if self.keys else str(self)

    def render(self, record: Mapping[str, Any]) -> str | None:
        """Return the text for a record; None if one of the keys is null.

        >>> Template.parse("u/{path|last:2}").render({"path": "@hashed/ab/secret/a.png"})
        'u/secret/a.png'
        """
        if any(record.get(key) is None for key in self.keys):
            return None
        return self.filled(record)

    def filled(self, record: Mapping[str, Any]) -> str:
        """Return the text for a record, in which null is an empty text."""
        return "".join(
            piece if isinstance(piece, str) else "" if record.get(piece.key) is None else piece.text(record[piece.key])
            for piece in self.pieces
        )

    def __str__(self) -> str:
        return "".join(
            piece if isinstance(piece, str) else "{" + "|".join((piece.key, *piece.filters)) + "}"
            for piece in self.pieces
        )


@dataclass(frozen=True)
class PathRule:
    """A path below a location where a record's content may be.

    when: pairs (key, value): the path applies only to records with these values.
    """

    template: Template
    when: tuple[tuple[str, Scalar], ...] = ()

    def of(self, record: Mapping[str, Any]) -> str | None:
        """Return the path for a record; None if it does not apply, or a key is null."""
        if any(record.get(key) != value for key, value in self.when):
            return None
        return self.template.render(record)


@dataclass(frozen=True)
class Index:
    """A JSON file of the archive that lists the relation's files: {last name of the file: [values of a key]}."""

    file: str
    key: str


@dataclass(frozen=True)
class Content:
    """Where the content of a relation's records is, and what the archive calls it.

    location: one of the tree's; the settings say where it is. part_of: the key that selects one of several places with
    this location, such as the storage of a repository; empty if there is one.
    name: the file in the archive; a record for which a key is null has none. paths: tried in this order. url: the path
    of a repository on a server, None if it cannot be fetched.
    bytes, sha256: the keys that have its size and its SHA-256 in hexadecimal; empty if the source does not know them.
    present: the key that is positive if the source has content, so that it counts as missing if it is not found.
    index: a file that lists them. digests: further values for the templates: the SHA-256 of a text, in hexadecimal.
    """

    location: str
    name: Template
    paths: tuple[PathRule, ...]
    url: Template | None = None
    part_of: str = ""
    bytes: str = ""
    sha256: str = ""
    present: str = ""
    index: Index | None = None
    digests: tuple[tuple[str, Template], ...] = ()

    def values(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the templates can name: the record's keys and the digests."""
        digests = {name: hashlib.sha256(text.filled(record).encode()).hexdigest() for name, text in self.digests}
        return {**record, **digests}


def _ruby_time(text: str) -> str:
    """Return an exported time as Ruby writes it.

    >>> _ruby_time("2026-11-28T07:00:00.123Z"), _ruby_time("2026-11-28T08:00:00.123+01:00")
    ('2026-11-28 07:00:00 UTC', '2026-11-28 08:00:00 +0100')
    """
    time = datetime.fromisoformat(text)
    return time.strftime("%Y-%m-%d %H:%M:%S ") + ("UTC" if text.endswith("Z") else time.strftime("%z"))
