"""Texts that Ruby wrote: YAML, the inspect form of a Hash, names from slugs; and what Ruby regards as blank."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

import yaml

SPACE = "\0\t\n\v\f\r "
"""What String#strip removes."""

BLANK = re.compile(r"[\t\n\v\f\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]*")
"""[[:space:]]*, which String#blank? matches."""

SYMBOL = "tag:ruby.yaml.org,2002:symbol"
HASH = "tag:yaml.org,2002:map"


class Symbol(str):
    """A Ruby symbol: a text in JSON, but a different key than the text."""

    __slots__ = ()


class Tagged:
    """An object of a Ruby class: its tag without the exclamation mark, and its content."""

    def __init__(self, tag: str, content: Any) -> None:
        self.tag = tag
        self.content = content


class Loader(yaml.SafeLoader):
    """YAML as Psych reads it."""


def _symbol(loader: Loader, node: yaml.ScalarNode) -> Symbol:
    text = loader.construct_scalar(node)
    text = text[1:] if node.tag == SYMBOL and node.style is None and text.startswith(":") else text
    return Symbol(text[1:-1] if len(text) > 1 and text[0] in "\"'" and text[0] == text[-1] else text)


def _object(loader: Loader, suffix: str, node: yaml.Node) -> Any:
    if not isinstance(node, yaml.MappingNode):
        return Tagged(suffix, loader.construct_object(node, deep=True))
    return Tagged(suffix, loader.construct_mapping(node, deep=True))


def _hash(loader: Loader, _: str, node: yaml.Node) -> Any:
    return loader.construct_mapping(node, deep=True)


def _hash_with_variables(loader: Loader, _: str, node: yaml.Node) -> Any:
    return loader.construct_mapping(node, deep=True).get("elements", {})


def _text(loader: Loader, node: yaml.ScalarNode) -> str:
    return loader.construct_scalar(node)


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":value", ":timestamp"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver(SYMBOL, re.compile(r":."), [":"])
Loader.add_constructor(SYMBOL, _symbol)
Loader.add_constructor("!ruby/symbol", _symbol)
Loader.add_constructor("!ruby/sym", _symbol)
Loader.add_constructor("!binary", yaml.SafeLoader.yaml_constructors["tag:yaml.org,2002:binary"])
Loader.add_multi_constructor("!ruby/hash:", _hash)  # ActiveSupport::HashWithIndifferentAccess
Loader.add_multi_constructor("!map:", _hash)  # the same, of Ruby 1.9
Loader.add_multi_constructor("!ruby/hash-with-ivars", _hash_with_variables)
Loader.add_multi_constructor("!ruby/object:", _object)


def read_yaml(text: str) -> Any:
    """Return the value of YAML. Raise yaml.YAMLError if it is invalid."""
    node = _composed(text)
    return None if node is None else Loader("").construct_document(node)


@lru_cache(maxsize=10_000)
def _composed(text: str) -> yaml.Node | None:
    """Return the document in YAML, cached: composing takes the most time, and a sample repeats its texts."""
    return yaml.compose(text, Loader)


def as_json(value: Any) -> Any:
    """Return a value of Ruby as it appears in JSON: symbols and keys as texts, bytes as the text they encode."""
    if isinstance(value, dict):
        return {str(as_json(key)): as_json(content) for key, content in value.items()}
    if isinstance(value, list):
        return [as_json(item) for item in value]
    if isinstance(value, Tagged):
        return as_json(value.content)
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    return str(value) if isinstance(value, Symbol) else value


TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|:[A-Za-z_]\w*[!?]?|=>|\bnil\b', re.ASCII)
"""RUBY_HASH_INSPECT_TOKEN of concerns/diff_positionable_note.rb."""


def read_inspected_hash(text: str) -> dict[str, Any] | None:
    """Return the Hash whose inspect form this is, or None (recover_stringified_position of the same file)."""
    if not text.startswith(('{"', "{:")):
        return None

    def translate(token: re.Match[str]) -> str:
        found = token[0]
        return {"=>": ":", "nil": "null"}.get(found) or (found if found[0] == '"' else f'"{found[1:]}"')

    try:
        parsed = json.loads(TOKEN.sub(translate, text))
    except ValueError:
        return None
    return parsed if isinstance(parsed, dict) else None


ACRONYMS = {"ee": "EE", "jh": "JH", "csp": "CSP"}
"""config/initializers/inflections.rb"""


def titleize(slug: str) -> str:
    """Return String#titleize of ActiveSupport: `web_front-end` becomes `Web Front End`."""
    words = slug
    if re.search(r"[A-Z-]|::", words):  # underscore
        words = words.replace("::", "/")
        names = "|".join(ACRONYMS.values())
        words = re.sub(
            rf"(?:(?<=([A-Za-z\d]))|\b)({names})(?=\b|[^a-z])", lambda m: "_" * bool(m[1]) + m[2].lower(), words
        )
        words = re.sub(r"(?<=[A-Z])(?=[A-Z][a-z])|(?<=[a-z\d])(?=[A-Z])", "_", words)
        words = words.replace("-", "_").lower()
    words = words.lstrip("_").removesuffix("_id").replace("_", " ")  # humanize
    words = re.sub(r"[a-zA-Z\d]+", lambda m: ACRONYMS.get(m[0].lower(), m[0].lower()), words)
    words = words[:1].upper() + words[1:]
    return re.sub(r"\b(?<!\w['’`()])[a-z]", lambda m: m[0].upper(), words)  # noqa: RUF001
