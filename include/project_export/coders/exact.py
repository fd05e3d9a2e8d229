"""JSON text ↔ values without a digit lost: a number that Python would round is carried as its text."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

import orjson

_SAFE_DIGITS = 18  # more may need more than 64 bits, which orjson does not write


def read(text: str) -> Any:
    """Return what a JSON text says; its numbers with a fraction or an exponent, and huge ones, can only be written.

    Raises ValueError where it is not JSON, NaN and Infinity among it.
    """
    return _DECODER.decode(text)


def write(value: Any) -> bytes:
    """Return JSON text, compact and in UTF-8.

    Raises TypeError for what JSON has not, half a surrogate pair among it, and for what is nested more than 254 deep.

    >>> write(read('{"exact": 12345678901234567890.10, "huge": 1e400}'))
    b'{"exact":12345678901234567890.10,"huge":1e400}'
    """
    return orjson.dumps(value)


def number(value: float) -> Any:
    """Return a number in the form in which `write` takes it; raise ValueError where JSON has none like it."""
    if not math.isfinite(value):
        _refuse(str(value))
    return _integer(str(value)) if type(value) is int else value


def _integer(text: str) -> int | orjson.Fragment:
    return int(text) if len(text) <= _SAFE_DIGITS else orjson.Fragment(text)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number that JSON has")


_DECODER = json.JSONDecoder(parse_float=orjson.Fragment, parse_int=_integer, parse_constant=_refuse)
