"""What Ruby wrote → Python values: YAML of Psych, and the text that Hash#inspect makes.

A column that Rails serialises holds YAML. Objects are read as what they hold. Symbols, and hashes that treat symbols
and strings alike, stay recognisable, since models look up keys by the one or the other.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, ClassVar, NoReturn

import yaml


class Symbol(str):
    """A Ruby symbol, e.g. `:base_sha`, without its colon."""

    __slots__ = ()


class Indifferent(dict[Any, Any]):
    """A HashWithIndifferentAccess: a symbol finds the key with the same text."""


class Instance(dict[Any, Any]):
    """What an object holds. name: its class, e.g. `Gitlab::Diff::Position`."""

    name = ""


class NotReadable(ValueError):
    """The text is not YAML (Psych::SyntaxError)."""


def load_yaml(text: str) -> Any:
    """Return what a YAML text of Ruby's holds. Raises NotReadable, and ValueError for a value that cannot be built.

    >>> load_yaml("--- !ruby/hash:ActiveSupport::HashWithIndifferentAccess\\nforce: '1'\\n:sym: :left\\n")
    {'force': '1', 'sym': 'left'}
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.constructor.ConstructorError as error:
        raise ValueError(f"YAML that cannot be read: {' '.join(str(error).split())}") from error
    except yaml.YAMLError as error:
        raise NotReadable(f"not readable as YAML: {' '.join(str(error).split())}") from error


def inspected(text: str) -> Any:
    """Return the value of a text that Ruby's `inspect` wrote. Raises ValueError for any other text.

    >>> inspected('{"old_path"=>"a \\\\"b\\\\".rb", :new_line=>3, old_line: nil, "range"=>[true, 1.5]}')
    {'old_path': 'a "b".rb', 'new_line': 3, 'old_line': None, 'range': [True, 1.5]}
    """
    reader = _Inspected(text)
    value = reader.value()
    reader.end()
    return value


class _Loader(yaml.CSafeLoader):
    """Reads what Ruby's Psych wrote."""


_SYMBOL = re.compile(r""":(?:(["'])(.*)\1|(.+))""")
_HASHES = re.compile(r"(?:tag:yaml\.org,2002:|!)?(?:ruby/)?(?:hash|map|object):(?:.*::)?HashWithIndifferentAccess")
_ELEMENTS = re.compile(r"(?:tag:yaml\.org,2002:|!)ruby/hash-with-ivars(?::.*)?")
_PARAMETERS = re.compile(r"(?:tag:yaml\.org,2002:|!)ruby/(?:object|hash):ActionController::Parameters")
_OBJECT = re.compile(r"(?:tag:yaml\.org,2002:|!)ruby/object:(.+)")
_TEXT = re.compile(r"(?:tag:yaml\.org,2002:|!)(?:ruby/)?(?:sym(?:bol)?|string|str)(?::.*)?")


def _symbol_or_string(loader: _Loader, node: yaml.ScalarNode) -> str:
    """Return a plain scalar that starts with a colon as a symbol; such a string is quoted (Psych::ScalarScanner)."""
    text = str(loader.construct_scalar(node))
    symbol = None if node.style else _SYMBOL.fullmatch(text)
    return Symbol(symbol[2] or symbol[3]) if symbol else text


def _tagged(loader: _Loader, suffix: str, node: yaml.Node) -> Any:
    """Return what an object of a Ruby class holds."""
    tag = str(node.tag)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    if isinstance(node, yaml.ScalarNode):
        text = loader.construct_scalar(node)
        return Symbol(text) if "sym" in suffix else text
    assert isinstance(node, yaml.MappingNode)
    content = loader.construct_mapping(node, deep=True)
    if _HASHES.fullmatch(tag):
        return Indifferent(content)
    if _ELEMENTS.fullmatch(tag):
        return Indifferent(content.get("elements") or {})
    if _PARAMETERS.fullmatch(tag) and isinstance(content.get("parameters"), dict):
        return Indifferent(content["parameters"])
    if _TEXT.fullmatch(tag):
        return content.get("str", content)
    instance = Instance(content)
    found = _OBJECT.fullmatch(tag)
    instance.name = found[1] if found else ""
    return instance


def _binary(loader: _Loader, node: yaml.ScalarNode) -> Any:
    return loader.construct_yaml_binary(node)


_Loader.add_constructor("tag:yaml.org,2002:str", _symbol_or_string)
_Loader.add_constructor("!binary", _binary)  # Psych's short name for it
for _prefix in ("!ruby/", "tag:yaml.org,2002:ruby/", "!map:", "tag:yaml.org,2002:map:", "!str", "!sym"):
    _Loader.add_multi_constructor(_prefix, _tagged)


class _Inspected:
    """Reads a text of `inspect`, from left to right."""

    _TOKEN = re.compile(
        r"""\s*(?:
            (?P<text>"(?:[^"\\]|\\.)*")(?P<label>:(?!:))?
          | :(?:(?P<symbol>[A-Za-z_]\w*(?:[?!]|=(?!>))?)|(?P<quoted>"(?:[^"\\]|\\.)*"))
          | (?P<name>[A-Za-z_]\w*[?!]?):(?!:)
          | (?P<number>-?\d[\d_]*(?:\.\d+)?(?:e[-+]?\d+)?)
          | (?P<word>nil|true|false)\b
          | (?P<mark>=>|[{}\[\],])
        )""",
        re.VERBOSE | re.DOTALL,
    )
    _WORDS: ClassVar = {"nil": None, "true": True, "false": False}
    _ESCAPES: ClassVar = {
        "n": "\n",
        "t": "\t",
        "r": "\r",
        "0": "\0",
        "a": "\a",
        "b": "\b",
        "e": "\x1b",
        "f": "\f",
        "v": "\v",
    }
    _ESCAPE = re.compile(r"\\(?:u\{([0-9A-Fa-f]+)\}|u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|(.))", re.DOTALL)

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def value(self) -> Any:
        """Read and return one value."""
        found = self._next()
        if found["mark"] == "{":
            return dict(self._listed("}", self._pair))
        if found["mark"] == "[":
            return self._listed("]", self.value)
        if found["mark"] or found["name"] or found["label"]:
            self._refuse()
        return self._scalar(found)

    def end(self) -> None:
        """Raise ValueError if anything but white space follows the value."""
        if self._text[self._at :].strip():
            self._refuse()

    def _listed(self, end: str, item: Callable[[], Any]) -> list[Any]:
        items: list[Any] = []
        while True:
            before = self._at
            mark = self._next()["mark"]
            if mark == end:
                return items
            if not items:
                self._at = before
            elif mark != ",":
                self._refuse()
            items.append(item())

    def _pair(self) -> tuple[Any, Any]:
        found = self._next()
        if found["name"]:
            return Symbol(found["name"]), self.value()
        key = Symbol(self._unquoted(found["text"])) if found["label"] else self._scalar(found)
        if not found["label"] and self._next()["mark"] != "=>":
            self._refuse()
        return key, self.value()

    def _scalar(self, found: re.Match[str]) -> Any:
        if found["text"] is not None:
            return self._unquoted(found["text"])
        if found["symbol"] or found["quoted"]:
            return Symbol(found["symbol"] or self._unquoted(found["quoted"]))
        if found["number"]:
            number = found["number"].replace("_", "")
            return int(number) if number.lstrip("-").isdigit() else float(number)
        if not found["word"]:
            self._refuse()
        return self._WORDS[found["word"]]

    def _unquoted(self, text: str) -> str:
        def one(found: re.Match[str]) -> str:
            code = found[1] or found[2] or found[3]
            return chr(int(code, 16)) if code else self._ESCAPES.get(found[4], found[4])

        halves = self._ESCAPE.sub(one, text[1:-1])  # JSON writes a character beyond U+FFFF as two
        return halves.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")

    def _next(self) -> re.Match[str]:
        found = self._TOKEN.match(self._text, self._at)
        if found is None:
            self._refuse()
        self._at = found.end()
        return found

    def _refuse(self) -> NoReturn:
        raise ValueError(f"not a value as Ruby's inspect writes it, at character {self._at + 1}")
