"""What SQL cannot say: named functions from one stored value to the JSON value that leaves.

Each takes the value as it stands in the record (never None) and returns what replaces it. A tree names them.
A value that cannot be read raises ValueError, which fails its relation: a record is never changed in silence.
"""

from __future__ import annotations

import base64
import datetime
import json
import re
from collections.abc import Callable
from typing import Any

import yaml

from project_export.tree import exact


class _RubyLoader(yaml.CSafeLoader):
    """Reads what Ruby's Psych wrote: object tags are read as what they hold, symbols as their names."""


_SYMBOL = re.compile(r""":(?:(["'])(.*)\1|(.+))""")


def _symbol_or_string(loader: _RubyLoader, node: yaml.ScalarNode) -> str:
    """Read a plain scalar with a colon in front as a symbol; a string like that is quoted (Psych::ScalarScanner)."""
    text = str(loader.construct_scalar(node))
    symbol = None if node.style else _SYMBOL.fullmatch(text)
    return (symbol[2] or symbol[3]) if symbol else text


def _untagged(loader: _RubyLoader, _suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node)  # type: ignore[arg-type]


def _binary(loader: _RubyLoader, node: yaml.ScalarNode) -> Any:
    return loader.construct_yaml_binary(node)


_RubyLoader.add_constructor("tag:yaml.org,2002:str", _symbol_or_string)
_RubyLoader.add_constructor("!binary", _binary)  # Psych's short name of it
_RubyLoader.add_multi_constructor("!ruby/", _untagged)
_RubyLoader.add_multi_constructor("tag:yaml.org,2002:ruby/", _untagged)


def _plain(value: Any) -> Any:
    """Make JSON of what YAML can hold: keys become strings, times ISO 8601."""
    if isinstance(value, dict):
        return {str(key if isinstance(key, int) else _plain(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, (datetime.datetime, datetime.date)):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return exact.number(value) if isinstance(value, (int, float)) else value


def read_yaml(value: Any) -> Any:
    """Read YAML as Ruby serialises it, e.g. merge_requests.merge_params.

    >>> read_yaml("--- !ruby/hash:ActiveSupport::HashWithIndifferentAccess\\nforce_remove_source_branch: '1'\\n")
    {'force_remove_source_branch': '1'}
    """
    try:
        return _plain(yaml.load(value, Loader=_RubyLoader))
    except yaml.YAMLError as error:
        raise ValueError(f"not readable as YAML: {' '.join(str(error).split())}") from error


def read_json_or_yaml(value: Any) -> Any:
    """Read JSON text, or YAML where older rows hold it, e.g. notes.position.

    >>> read_json_or_yaml('{"new_line": 3}')
    {'new_line': 3}
    """
    try:
        return exact.read(value)
    except json.JSONDecodeError:
        return read_yaml(value)


def decode_base64(value: Any) -> str:
    """Decode base64 to text; bytes that are not UTF-8 become U+FFFD, and a text that is not base64 stays as it is.

    As Ruby's unpack1("m0") has it, by which merge_request_diff_file.rb#diff reads: no white space, no bit too many.

    >>> decode_base64("aMOp"), decode_base64("@@ -1 +1 @@")
    ('hé', '@@ -1 +1 @@')
    """
    try:
        decoded = base64.b64decode(value, validate=True)
    except ValueError:
        return str(value)
    return decoded.decode("utf-8", "replace") if base64.b64encode(decoded).decode() == value else str(value)


def text_colour(value: Any) -> str:
    """Return the colour of text on a label of this colour (lib/gitlab/color.rb): white where its contrast suffices.

    An invalid colour counts as dark.

    >>> text_colour("#428bca"), text_colour("#f0ad4e"), text_colour("blue")
    ('#FFFFFF', '#1F1E24', '#FFFFFF')
    """
    digits = re.fullmatch(r"#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})", value)
    if not digits:
        return "#FFFFFF"
    text = digits[1] if len(digits[1]) == 6 else "".join(digit * 2 for digit in digits[1])
    luminance = _luminance(*(int(text[i : i + 2], 16) for i in (0, 2, 4)))
    light = _contrast(luminance, 1.0)
    dark = _contrast(luminance, _luminance(31, 30, 36))
    return "#FFFFFF" if light >= 2.4 or light > dark else "#1F1E24"


def _luminance(red: int, green: int, blue: int) -> float:
    """Relative luminance by WCAG 2.1, with the threshold 0.03928 that GitLab uses."""
    linear = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in (red / 255, green / 255, blue / 255))
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _contrast(one: float, other: float) -> float:
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


TRANSFORMS: dict[str, Callable[[Any], Any]] = {
    "base64_text": decode_base64,
    "json_or_yaml": read_json_or_yaml,
    "text_colour": text_colour,
    "yaml": read_yaml,
}
