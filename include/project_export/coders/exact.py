"""JSON text ↔ values without losing a digit: a number that Python would round stays text."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

import orjson

_SPACE = " \t\n\r"
_SAFE_DIGITS = 18  # more may need more than 64 bits, which orjson does not write


def read(text: str) -> Any:
    """Return the value of a JSON text. Fractions, exponents and huge numbers in it can only be written again.

    Raises ValueError if it is not JSON; NaN and Infinity are not.
    """
    return _DECODER.decode(text)


def end(text: str) -> int:
    """Return where the JSON value ends with which a text starts, perhaps after white space. Raises ValueError.

    >>> end(' [1, {"a": 2}] , "b"')
    14
    """
    return _DECODER.raw_decode(text, len(text) - len(text.lstrip(_SPACE)))[1]


def write(value: Any) -> bytes:
    """Return JSON text, compact and in UTF-8.

    Raises TypeError for what JSON does not have, such as half a surrogate pair, and for more than 254 nested levels.

    >>> write(read('{"exact": 12345678901234567890.10, "huge": 1e400}'))
    b'{"exact":12345678901234567890.10,"huge":1e400}'
    """
    return orjson.dumps(value)


def number(value: float) -> Any:
    """Return a number in a form that `write` accepts. Raises ValueError for NaN and infinity."""
    if not math.isfinite(value):
        _refuse(str(value))
    return _integer(str(value)) if type(value) is int else value


def _integer(text: str) -> int | orjson.Fragment:
    return int(text) if len(text) <= _SAFE_DIGITS else orjson.Fragment(text)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"JSON has no number {constant}")


_DECODER = json.JSONDecoder(parse_float=orjson.Fragment, parse_int=_integer, parse_constant=_refuse)
