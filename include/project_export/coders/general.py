"""What a transform is, and the transforms that any schema may need.

A transform makes the exported JSON value of a stored value. It raises ValueError for a value that it cannot read, which
fails the relation: no record is changed silently.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from project_export.coders import exact, quick
from project_export.coders.ruby import load_yaml


@dataclass(frozen=True)
class Noted:
    """A value and a note to report. lost: whether the stored value is not in it, so that data are missing."""

    value: Any
    note: str
    lost: bool = False


@dataclass(frozen=True)
class Transform:
    """A function from a stored value to the exported JSON value, plain or as a Noted.

    of_null: whether it is also called for NULL. structured: whether it returns objects and arrays, not texts.
    quick: does the same for usual values, from JSON text to JSON text; None if a value is not a usual one.
    """

    function: Callable[[Any], Any]
    of_null: bool = False
    structured: bool = False
    quick: Callable[[bytes], bytes | None] | None = None


def plain(value: Any) -> Any:
    """Return a value from YAML as JSON: keys become strings, times ISO 8601 in UTC with three decimals, as in Rails.

    Raises ValueError for a number that JSON cannot hold.
    """
    if isinstance(value, dict):
        return {_key(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, set, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, datetime.datetime):
        moment = value.astimezone(datetime.timezone.utc) if value.tzinfo else value
        return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, str):
        return str(value)
    return exact.number(value) if isinstance(value, (int, float)) else value


def _key(key: Any) -> str:
    """Return a key as Ruby's to_s writes it."""
    if key is None or isinstance(key, bool):
        return "" if key is None else str(key).lower()
    return str(key if isinstance(key, int) else plain(key))


def read_yaml(value: Any) -> Any:
    """Return what YAML of Ruby's holds.

    >>> read_yaml("--- !ruby/hash:ActiveSupport::HashWithIndifferentAccess\\nforce_remove_source_branch: '1'\\n")
    {'force_remove_source_branch': '1'}
    """
    return plain(load_yaml(value))


def read_yaml_hash(value: Any) -> Any:
    """Return a hash from YAML; an empty one if nothing is stored, like Rails' coder with the class Hash.

    >>> read_yaml_hash("--- {}\\n"), read_yaml_hash(None), read_yaml_hash("--- \\n")
    ({}, {}, {})
    """
    stored = read_yaml(value) if value is not None else None
    if stored is None or stored == "":
        return {}
    if not isinstance(stored, dict):
        raise ValueError(f"YAML of {type(stored).__name__} where a hash belongs")
    return stored


def quick_yaml_hash(stored: bytes) -> bytes | None:
    r"""Return what `read_yaml_hash` makes of a value, both as JSON texts; None if its form is not a usual one.

    >>> quick_yaml_hash(b'"---\\nforce_remove_source_branch: \'1\'\\n"'), quick_yaml_hash(b'"--- []\\n"')
    (b'{"force_remove_source_branch":"1"}', None)
    """
    if stored in _EMPTY_HASHES:
        return b"{}"
    for head in _HASHES:
        found = quick.mapping(stored, head)
        if found is not None:
            return quick.written(found)
    return None


_HASHES = (rb'"---\n', rb'"--- %b\n' % quick.INDIFFERENT)
_EMPTY_HASHES = (b"null", rb'"--- {}\n"')


def decode_base64(value: Any) -> str:
    """Return base64 decoded as text. Bytes that are not UTF-8 become U+FFFD; a text that is not base64 stays as it is.

    Base64 is what Ruby's unpack1("m0") accepts, which merge_request_diff_file.rb#diff uses: no white space, no extra
    bits.

    >>> decode_base64("aMOp"), decode_base64("@@ -1 +1 @@")
    ('hé', '@@ -1 +1 @@')
    """
    try:
        decoded = base64.b64decode(value, validate=True)
    except ValueError:
        return str(value)
    return decoded.decode("utf-8", "replace") if base64.b64encode(decoded).decode() == value else str(value)


def digest(value: Any) -> str:
    """Return 40 hexadecimal digits computed from a value, for an identifier that the application would make up.

    >>> digest(7)
    '902ba3cda1883801594b6e1b452790cc53948fda'
    """
    return hashlib.sha1(str(value).encode(), usedforsecurity=False).hexdigest()


TRANSFORMS: Mapping[str, Transform] = {
    "base64_text": Transform(decode_base64),
    "digest": Transform(digest),
    "yaml": Transform(read_yaml, structured=True),
    "yaml_hash": Transform(read_yaml_hash, of_null=True, structured=True, quick=quick_yaml_hash),
}
