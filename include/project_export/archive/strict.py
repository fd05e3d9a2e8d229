"""Lines of a stream, and JSON that every reader reads alike."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

import orjson

from project_export.errors import ArchiveBroken
from project_export.formats import Escapes

LONGEST_INTEGER = 4300


def lines(chunks: Iterable[bytes], longest: int) -> Iterator[bytes | int]:
    """Split a stream at each newline, which stays at the line's end; only the last line may lack it.

    Of a line longer than `longest` bytes, the newline not counted, only the length comes.
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
    """The value of a JSON text; of a number that no column holds, infinity. Raises ArchiveBroken saying what is wrong.

    Refused, besides invalid JSON: invalid UTF-8, half surrogate pairs, NaN and Infinity, two equal keys in one
    object. escapes: of the format, by which most texts are read faster.
    """
    try:
        value = orjson.loads(text)
        if escapes.escape(orjson.dumps(value)) == text.removesuffix(b"\n"):
            # What is written back as it was has lost nothing, so no key twice. Nearly all records pass here, and three
            # times as fast.
            return value
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        pass  # huge numbers, deep nesting: the parser below decides
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
            raise ArchiveBroken(f"the key {key!r} twice in one object")
        value[key] = one
    return value


def _integer(text: str) -> int | float:
    # Python refuses to read longer integers (sys.set_int_max_str_digits), and no column holds one.
    return int(text) if len(text) <= LONGEST_INTEGER else float(text)


def _refuse(constant: str) -> NoReturn:
    raise ArchiveBroken(f"no JSON: {constant}")
