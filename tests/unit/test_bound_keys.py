"""The keys of a batch as PostgreSQL's text of an array."""

from __future__ import annotations

import pytest

from project_export.source import sql


def test_integers_need_no_quotes() -> None:
    assert sql._numbers([b"1", b"20", b"300"]) == "{1,20,300}"


@pytest.mark.parametrize("value", ["NULL", "1,2", "1}", " 1", "-1"])
def test_what_is_no_number_stays_one_element(value: str) -> None:
    """PostgreSQL then converts or rejects it, but never takes it for NULL or for two keys."""
    assert sql._numbers([b"7", value.encode()]) == '{"7","' + value + '"}'


def test_texts_are_quoted() -> None:
    assert sql._texts([b'a"b', b"c\\d", b"e,f"]) == r'{"a\"b","c\\d","e,f"}'


def test_no_keys_are_an_empty_array() -> None:
    """The search for a row that cannot be read asks for none first."""
    assert sql._numbers([]) == sql._texts([]) == "{}"
