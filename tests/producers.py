"""The two that produce a project's records: the engine, and the second reader that judges it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

import psycopg
import pytest

from tests import reader
from tests.archives import Record, Records, exported

Producer = Callable[..., Records]


class Lazy(dict[str, list[Record]]):
    """A project's records; a relation is read when a test looks at it, and most look at one."""

    def __init__(self, make: Callable[[Collection[str]], Records]) -> None:
        super().__init__()
        self._make = make
        self._whole: Records | None = None

    def __missing__(self, name: str) -> list[Record]:
        self[name] = (self._whole or self._make([name])).get(name, [])
        return self[name]

    def whole(self) -> Records:
        """Return the records of all relations."""
        if self._whole is None:
            self._whole = self._make(())
        return self._whole

    values = property(lambda self: self.whole().values)
    items = property(lambda self: self.whole().items)


def of_engine(database: str, version: str = "") -> Records:
    """Return what the engine exports of project 1; version: of GitLab, the newest if empty."""
    return Lazy(lambda relations: exported(database, 1, version=version, relations=relations))


def of_reader(database: str, _version: str = "") -> Records:
    """Return what the second reader reads of project 1; it detects by itself what the database has."""

    def read(relations: Collection[str]) -> Records:
        with psycopg.connect(database) as conn:
            return reader.read_project(conn, 1, relations=relations)

    return Lazy(read)


PRODUCERS = [pytest.param(of_engine, id="engine"), pytest.param(of_reader, id="reader")]


def walk(value: Any) -> Iterator[Record]:
    """Yield every object in a value."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from walk(item)


def note(records: Records, text: str) -> Record:
    """Return the only note with a text, on anything."""
    (found,) = (item for item in walk(list(records.values())) if item.get("note") == text)
    return found


def merge_request(records: Records, iid: int) -> Record:
    """Return a merge request."""
    (found,) = (item for item in records["merge_requests"] if item["iid"] == iid)
    return found
