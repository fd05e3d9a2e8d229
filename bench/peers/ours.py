"""This project's engine."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg

from bench import PROJECT_ID
from project_export.settings import Settings
from project_export.source import Limits, Reader, Session, look_rarely
from project_export.tree import bind, load, tables

SPLIT = 8


def read(uri: str, every: int, relation: str = "issues") -> Iterator[bytes]:
    """Yield the records as a worker reads them, with default settings."""
    return _read(uri, every, relation, 1)


def read_split(uri: str, every: int, relation: str = "issues") -> Iterator[bytes]:
    """Yield the records part by part, as a worker reads them that takes one part after the other."""
    return _read(uri, every, relation, SPLIT)


def _read(uri: str, every: int, relation: str, parts: int) -> Iterator[bytes]:
    if every != 1:
        raise NotImplementedError("ours is measured on all records")
    look_rarely()
    settings = Settings()
    tree = load("gitlab")
    with Session(lambda: psycopg.connect(uri), "bench", Limits()) as session:
        bound = bind(tree, session.catalogue(tables(tree)))
        reader = Reader(session, bound, PROJECT_ID, batch_rows=settings.batch_rows, batch_bytes=settings.batch_bytes)
        for part in range(parts):
            for chunk in reader.again().read(relation, part, parts):
                yield chunk.data
