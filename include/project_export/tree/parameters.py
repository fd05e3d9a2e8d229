"""Parameters of a request that a tree declares: each replaces the values of the keys that name it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

TYPES: Mapping[str, type[object] | tuple[type[object], ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
}
"""Types of a parameter, by JSON Schema's names."""

RESERVED = (
    *("source", "project_id", "relations", "consistency", "if_running", "fail_fast"),
    *("mode", "window_start", "window_end"),
    *("after_export", "upload_url", "upload_http_method"),
)
"""What a request has whatever the tree; no parameter may have such a name."""

AROUND = ("requested_by", "projects", "again")
"""What runs have besides their request, so no parameter may have such a name either."""

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
"""What a parameter's name looks like."""

Value = str | int | float | bool | None


@dataclass(frozen=True)
class Parameter:
    """One parameter.

    type: one of TYPES. default: its value if a request gives none; None: the values of the source stay. longest: a
    string's characters. title, description: for people who fill in a form.
    """

    name: str
    type: str
    default: Value = None
    longest: int | None = None
    title: str = ""
    description: str = ""

    def fault(self, value: object) -> str | None:
        """Return what is wrong with a value as a sentence about the parameter; None if nothing is."""
        kind = TYPES[self.type]
        fits = isinstance(value, kind) and (self.type == "boolean" or not isinstance(value, bool))
        if not fits:
            return f"{self.name} must be {_article(self.type)}; got {value!r}"
        if isinstance(value, str):
            if not _storable(value):
                return f"{self.name} must be a string without NUL and halves of surrogate pairs; got {value!r}"
            if self.longest is not None and len(value) > self.longest:
                return f"{self.name} must have at most {self.longest} characters; got {len(value)}"
        elif isinstance(value, float) and not math.isfinite(value):
            return f"{self.name} must be a finite number; got {value!r}"
        elif isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
            return f"{self.name} must fit into 64 bits; got {value}"
        return None

    def read(self, text: str) -> object:
        """Return the value that somebody typed; a text that is not a value of the type stays as it is.

        >>> Parameter("a", "integer").read("7"), Parameter("a", "integer").read("x"), Parameter("a", "string").read("7")
        (7, 'x', '7')
        """
        if self.type == "string":
            return text
        try:
            return json.loads(text)
        except ValueError:
            return text


def _article(type: str) -> str:
    return f"{'an' if type[0] in 'aeiou' else 'a'} {type}"


def _storable(text: str) -> bool:
    """Whether PostgreSQL can keep a text."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
