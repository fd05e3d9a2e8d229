"""The two that produce a project's records: the engine, and the second reader that judges it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
import reader
from archives import Record, Records, exported

Producer = Callable[..., Records]


def of_engine(database: str, version: str = "") -> Records:
    """Return what the engine exports of project 1 of a GitLab version, the newest unless it is given."""
    return defaultdict(list, exported(database, 1, version=version))


def of_reader(database: str, version: str = "") -> Records:
    """Return what the second reader reads of project 1; it goes by what the database has, whatever the version."""
    with psycopg.connect(database) as conn:
        return reader.read_project(conn, 1)


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
    """Return the one note with a text, of whatever it is."""
    (found,) = (item for item in walk(list(records.values())) if item.get("note") == text)
    return found


def merge_request(records: Records, iid: int) -> Record:
    """Return a merge request."""
    (found,) = (item for item in records["merge_requests"] if item["iid"] == iid)
    return found
