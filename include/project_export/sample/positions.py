"""The position of a note on a diff, as GitLab stores it: the YAML of an object of Gitlab::Diff::Position.

lib/gitlab/diff/position.rb and lib/gitlab/diff/formatters/ determine its keys and their order.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import NamedTuple

_PLAIN = re.compile(
    r"""
    (?:[A-Za-z][\w-]*/)*[A-Za-z][\w-]*\.[a-z]+  # a path like lib/a.rb
    | \d*[a-df][\da-f]*                         # a commit id that cannot be a number, as 12e4 can
    | [\da-f]{40}_\d+_\d+                       # the code of a line
    """,
    re.ASCII | re.VERBOSE,
)
"""What every YAML parser reads as a text without quotes."""
_OBJECT = "--- !ruby/object:Gitlab::Diff::Position\nattributes:\n"
_HASH = "!ruby/hash:ActiveSupport::HashWithIndifferentAccess"


class Refs(NamedTuple):
    """The commits of a diff."""

    base: str
    start: str
    head: str


def line_code(path: str, old_line: int, new_line: int) -> str:
    """Return a line's code: the SHA1 of the path, the line before the change, the line after it.

    >>> line_code("a.rb", 1, 2)
    '8477a0f2df5594842548adf8af386703bee11a68_1_2'
    """
    return f"{hashlib.sha1(path.encode(), usedforsecurity=False).hexdigest()}_{old_line}_{new_line}"


def text_position(refs: Refs, path: str, old_line: int | None, new_line: int, lines: int = 0) -> str:
    """Return the position of a note on a line of a text, or on the last `lines` lines up to it."""
    content = _common(refs, path, "text") + f"  :old_line:{_optional(old_line)}\n  :new_line: {new_line}\n"
    if lines:
        first, last = (_end(path, line) for line in (new_line - lines + 1, new_line))
        content += f"  :line_range: {_HASH}\n    start: {_HASH}\n{first}    end: {_HASH}\n{last}"
    else:
        content += "  :line_range:\n"
    return content + "  :ignore_whitespace_change: false\n"


def image_position(refs: Refs, path: str, x: int, y: int) -> str:
    """Return the position of a note on a point (in pixels) of an image or a design."""
    return _common(refs, path, "image") + f"  :width: 800\n  :height: 600\n  :x: {x}\n  :y: {y}\n"


def file_position(refs: Refs, path: str) -> str:
    """Return the position of a note on a whole file."""
    return _common(refs, path, "file") + "  :ignore_whitespace_change: false\n"


def _common(refs: Refs, path: str, kind: str) -> str:
    where = f"  :old_path: {_scalar(path)}\n  :new_path: {_scalar(path)}\n  :position_type: {kind}\n"
    commits = ((name, _scalar(sha)) for name, sha in zip(("base", "start", "head"), refs, strict=True))
    return _OBJECT + "".join(f"  :{name}_sha: {sha}\n" for name, sha in commits) + where


def _end(path: str, line: int) -> str:
    code = _scalar(line_code(path, line - 1, line))
    return f"      line_code: {code}\n      type: new\n      old_line:\n      new_line: {line}\n"


def _optional(number: int | None) -> str:
    return "" if number is None else f" {number}"


def _scalar(text: str) -> str:
    """Return a text as Ruby writes it: plain if possible, else in quotes."""
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)
