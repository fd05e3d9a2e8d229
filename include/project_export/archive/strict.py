"""Lines of a stream, and JSON that every parser reads in the same way."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

import orjson

from project_export.errors import ArchiveBroken
from project_export.formats import Escapes

LONGEST_INTEGER = 4300


def lines(chunks: Iterable[bytes], longest: int) -> Iterator[bytes | int]:
    """Yield the lines of a stream, with their newlines; only the last line may lack one.

    For a line of more than `longest` bytes, not counting the newline, yields its length instead.
    """
    begun: list[bytes] = []
    size = 0
    for chunk in chunks:
        first, *others = chunk.split(b"\n")
        size += len(first)
        begun.append(first)
        if size > longest:
            begun.clear()
        for other in others:
            begun.append(b"\n")
            yield b"".join(begun) if size <= longest else size
            begun, size = [other], len(other)
    if size:
        yield b"".join(begun) if size <= longest else size


def parse(text: bytes, escapes: Escapes) -> Any:
    """Return the value of a JSON text; an integer with more digits than any column can hold becomes infinity.

    escapes: of the format; texts that use them exactly are parsed faster. Raises ArchiveBroken for invalid JSON, and
    also for invalid UTF-8, half of a surrogate pair, NaN, Infinity, and a key that occurs twice in one object.
    """
    try:
        value = orjson.loads(text)
        if escapes.escape(orjson.dumps(value)) == text.removesuffix(b"\n"):
            # Writing the value gives the same text, so nothing was lost and no key occurred twice. Nearly all records
            # take this path, which is three times as fast.
            return value
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        pass  # the parser below decides about huge numbers and deep nesting
    try:
        value = json.loads(text.decode(), object_pairs_hook=_object, parse_constant=_refuse, parse_int=_integer)
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        raise ArchiveBroken(f"invalid UTF-8 at byte {error.start}") from error
    except UnicodeEncodeError as error:
        raise ArchiveBroken("half of a surrogate pair") from error
    except RecursionError as error:
        raise ArchiveBroken("nested too deeply") from error
    except json.JSONDecodeError as error:
        raise ArchiveBroken(f"no JSON: {error.msg} at character {error.pos}") from error
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for key, one in pairs:
        if key in value:
            raise ArchiveBroken(f"the key {key!r} occurs twice in one object")
        value[key] = one
    return value


def _integer(text: str) -> int | float:
    # Python refuses to read longer integers (sys.set_int_max_str_digits), and no column holds one.
    return int(text) if len(text) <= LONGEST_INTEGER else float(text)


def _refuse(constant: str) -> NoReturn:
    raise ArchiveBroken(f"no JSON: {constant}")
