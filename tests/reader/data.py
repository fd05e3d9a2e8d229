"""relations.yaml and names.yaml: what GitLab exports, and how that is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

FOLDER = Path(__file__).parent
ASSOCIATIONS = ("has_many", "has_one", "belongs_to")
ADDED = ("values", "nested", "last")
"""Attributes that are added to those of a shape, key by key; others replace the shape's."""
ATTRIBUTES = {
    *(*ASSOCIATIONS, "by", "as", "where", "order", "pick", "absent", "instead", "rows", "needs", "only"),
    *("like", "model", "keys", *ADDED, "evidence"),
}
ANY = "*"
"""As path: every relation. As key: every one that no evidence names."""

Entry = Mapping[str, Any]
"""A relation or a shape in relations.yaml."""


class Evidence(NamedTuple):
    """How keys of a relation are known: read, assumed or gone; its dotted path, files of GitLab, keys and a remark."""

    how: str
    path: str
    where: tuple[str, ...]
    keys: tuple[str, ...]
    note: str


@cache
def file() -> Entry:
    """Return relations.yaml."""
    return yaml.safe_load((FOLDER / "relations.yaml").read_text(encoding="utf-8"))


@cache
def names() -> Mapping[str, Mapping[int | None, str]]:
    """Return the lists of names.yaml: by name of the list, the name of each code."""

    def numbered(entry: Mapping[int | None, Any]) -> Iterator[tuple[int | None, str]]:
        for first, found in entry.items():
            yield from enumerate(found, first) if isinstance(found, list) else [(first, found)]

    known = yaml.safe_load((FOLDER / "names.yaml").read_text(encoding="utf-8"))
    return {name: dict(numbered(entry)) for name, entry in known.items()}


def whole(entry: Entry | str) -> Entry:
    """Return an entry with the attributes of its shape; a text is the name of a shape."""
    own = {"like": entry} if isinstance(entry, str) else entry
    assert own.keys() <= ATTRIBUTES, f"relations.yaml: no relation has {sorted(own.keys() - ATTRIBUTES)}"
    if "like" not in own:
        return own
    shape = whole(file()["shapes"][own["like"]])
    if own.keys() & {*ASSOCIATIONS}:
        shape = {name: value for name, value in shape.items() if name not in (*ASSOCIATIONS, "as")}
    added = {name: {**shape.get(name, {}), **own.get(name, {})} for name in ADDED}
    return {**shape, **own, **added, "evidence": [*shape.get("evidence", ()), *own.get("evidence", ())]}


def walk() -> Iterator[tuple[str, Entry]]:
    """Yield the project and its relations, nested ones too, with their dotted paths; parents first."""

    def visit(path: str, entry: Entry | str) -> Iterator[tuple[str, Entry]]:
        found = whole(entry)
        yield path, found
        for name, child in found.get("nested", {}).items():
            yield from visit(f"{path}.{name}", child)

    for name, entry in {"project": file()["project"], **file()["relations"]}.items():
        yield from visit(name, entry)


def evidence() -> Iterator[Evidence]:
    """Yield the evidence in the file, that of a shape only for its first relation: it applies to the others too."""
    said: list[Any] = []
    for path, entry in ((ANY, file()), *walk()):
        for one in entry.get("evidence", ()):
            if any(one is other for other in said):
                continue
            said.append(one)
            (how,) = one.keys() - {"keys", "note"}
            yield Evidence(how, path, *(tuple(one.get(of, ANY).split()) for of in (how, "keys")), one.get("note", ""))


def newer(commit: str) -> set[str]:
    """Return the dotted paths of relations and keys that import_export.yml does not list at a commit of GitLab.

    These are the ones whose evidence cites that file at another commit.
    """
    found = set()
    for one in evidence():
        commits = {file.partition("@")[2] for file in one.where if "/import_export.yml@" in file}
        if commits and not any(commit.startswith(of) for of in commits):
            found |= {one.path if key == ANY else f"{one.path}.{key}" for key in one.keys}
    return found
