"""What GitLab's importer accepts of a new relation: its entry in importers/gitlab.yaml.

import_export.yml applies to both directions: GitLab imports what it exports, under the same keys. So the entry is
derived from the second reader's data. It is not derived from the tree, because `verify` finds mistakes in the tree by
it. What the importer's models reject is not known here.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.reader import data

WIDTH = 120


def lacking(known: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield what the second reader's data have and the importer's lack: (relation, `keys` or `nested`, name)."""
    for path, entry in data.walk():
        name = path.rpartition(".")[2]
        its = known["relations"].get(name, {})
        taken = {*its.get("keys", ()), *its.get("objects", {}), *its.get("ignored", ()), *its.get("nested", ())}
        for field, names in (("keys", keys(entry)), ("nested", entry.get("nested", {}))):
            yield from ((name, field, one) for one in names if one not in taken)


def keys(entry: data.Entry) -> list[str]:
    """Return the keys of a relation's records, without nested relations."""
    return list(dict.fromkeys([*entry.get("keys", "").split(), *entry.get("values", {}), *entry.get("last", {})]))


def update(path: Path) -> list[str]:
    """Add to the file what it lacks, and return the names of the relations that it changed."""
    text = path.read_text(encoding="utf-8")
    known = yaml.safe_load(text)
    missing = list(lacking(known))
    for name in dict.fromkeys(name for name, _, _ in missing):
        if name not in known["relations"]:
            text = text.rstrip("\n") + "\n" + "\n".join(new(name, known)) + "\n"
            continue
        for field in ("keys", "nested"):
            found = [one for of, in_field, one in missing if (of, in_field) == (name, field)]
            text = grown(text, name, field, found) if found else text
    path.write_text(text, encoding="utf-8")
    return list(dict.fromkeys(name for name, _, _ in missing))


def new(name: str, known: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a relation that the file does not have."""
    entry = next(entry for path, entry in data.walk() if path.rpartition(".")[2] == name)
    read = [one["read"] for one in entry.get("evidence", ()) if "read" in one]
    named = {key: value["name"] for key, value in entry.get("values", {}).items() if "name" in value}
    yield f"  {name}:"
    yield listed("keys", sorted(keys(entry)))
    if entry.get("nested"):
        yield listed("nested", sorted(entry["nested"]))
    if named:
        yield f"    source: {read[0].split()[0].partition('@')[0]}" if read else "    source: not read"
        yield f"    names: {{{', '.join(f'{key}: {enum(of, known)}' for key, of in named.items())}}}"


def enum(of: str, known: Mapping[str, Any]) -> str:
    """Return the name of the file's list that equals one of the second reader's, or else a list."""
    names = list(dict.fromkeys(data.names()[of].values()))
    return next((name for name, its in known["enums"].items() if its == names), f"[{', '.join(names)}]")


def grown(text: str, relation: str, field: str, names: Iterable[str]) -> str:
    """Return the file with more names in a list of one of its relations."""
    start = re.search(rf"^  {relation}:\n", text, re.MULTILINE)
    assert start is not None
    end = re.search(r"^  \w+:|\Z", text[start.end() :], re.MULTILINE)
    assert end is not None
    block = text[start.end() : start.end() + end.start()]
    there = re.search(rf"^    {field}: (&\w+ )?\[(.*?)\]\n", block, re.MULTILINE | re.DOTALL)
    its = re.findall(r"[^\s,]+", there[2]) if there else []
    line = listed(f"{field}: {there[1]}".rstrip() if there and there[1] else field, sorted({*its, *names})) + "\n"
    first = re.search(r"\A    keys: .*?\]\n", block, re.DOTALL)
    place = there.span() if there else (first.end(), first.end()) if first else (0, 0)
    return text[: start.end()] + block[: place[0]] + line + block[place[1] :] + text[start.end() + len(block) :]


def listed(field: str, names: list[str]) -> str:
    """Return the lines of a field that is a list."""
    head = f"    {field}" if ":" in field else f"    {field}:"
    line = f"{head} [{', '.join(names)}]"
    if len(line) <= WIDTH:
        return line
    body = textwrap.fill(", ".join(names) + ",", WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return f"{head} [\n{body}\n    ]"
