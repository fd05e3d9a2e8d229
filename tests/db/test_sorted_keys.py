"""The parts of a relation share its sorted keys: sorted once for those that are read in turn, right in any order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import psycopg
import pytest

from project_export.source import Limits, Reader, Session
from project_export.tree import bind, load, tables

TREE = load("gitlab")
PARTS = 5


@pytest.fixture
def session(generated: str) -> Iterator[Session]:
    with Session(lambda: psycopg.connect(generated), "keys", Limits()) as session:
        yield session


@pytest.fixture
def reader(session: Session) -> Reader:
    return Reader(session, bind(TREE, session.catalogue(tables(TREE))), 1, batch_rows=7)


@pytest.fixture
def whole(reader: Reader) -> bytes:
    return part(reader, "issues", 0, 1)


def part(reader: Reader, name: str, number: int, parts: int = PARTS) -> bytes:
    return b"".join(chunk.data for chunk in reader.again().read(name, number, parts))


def cursors(session: Session) -> int:
    count: int = session.one("SELECT count(*) FROM pg_cursors WHERE name LIKE 'pages%'")[0]
    return count


def test_parts_that_are_read_in_turn_use_one_cursor(session: Session, reader: Reader, whole: bytes) -> None:
    found, names = [], set()
    for number in range(PARTS):
        found.append(part(reader, "issues", number))
        names.add(session.one("SELECT min(name) FROM pg_cursors WHERE name LIKE 'pages%'")[0])
        assert cursors(session) == (number < PARTS - 1)
    assert len(names - {None}) == 1
    assert b"".join(found) == whole
    assert all(found)


@pytest.mark.parametrize("order", [(4, 3, 2, 1, 0), (1, 3, 0, 2, 4), (0, 2, 2, 4, 1, 3)])
def test_parts_are_right_in_any_order(session: Session, reader: Reader, whole: bytes, order: Sequence[int]) -> None:
    found = {number: part(reader, "issues", number) for number in order}
    assert b"".join(found[number] for number in range(PARTS)) == whole
    assert cursors(session) <= 1


def test_another_relation_in_between_closes_the_cursor(session: Session, reader: Reader, whole: bytes) -> None:
    first = part(reader, "issues", 0)
    requests = part(reader, "merge_requests", 0, 1)
    assert cursors(session) == 0
    assert requests == part(reader, "merge_requests", 0, 1)
    assert b"".join([first, *(part(reader, "issues", number) for number in range(1, PARTS))]) == whole


def test_a_part_whose_attempt_failed_after_it_was_read_does_not_spoil_the_next(
    session: Session, reader: Reader, whole: bytes
) -> None:
    with pytest.raises(OSError, match="full"), session.attempt("issues 1/5"):
        part(reader, "issues", 0)
        raise OSError("full")
    assert cursors(session) == 0  # rolled back
    with pytest.raises(OSError, match="full"), session.attempt("issues 1/5"):
        first = part(reader, "issues", 0)
        with session.attempt("issues 2/5"):
            part(reader, "issues", 1)
        raise OSError("full")
    assert b"".join([first, *(part(reader, "issues", number) for number in range(1, PARTS))]) == whole


def test_a_part_that_is_given_up_does_not_spoil_the_next(session: Session, reader: Reader, whole: bytes) -> None:
    first = part(reader, "issues", 0)
    chunks = reader.again().read("issues", 1, PARTS)
    next(chunks)
    chunks.close()
    assert b"".join([first, *(part(reader, "issues", number) for number in range(1, PARTS))]) == whole


def test_keys_are_sorted_again_in_a_new_transaction(session: Session, reader: Reader, whole: bytes) -> None:
    first = part(reader, "issues", 0)
    session.renew()
    assert b"".join([first, *(part(reader, "issues", number) for number in range(1, PARTS))]) == whole
