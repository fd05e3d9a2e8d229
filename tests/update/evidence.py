"""The evidence of the tree's keys: gitlab-evidence.tsv.

The lines `seen` come from real exports, all others from the second reader's data.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from project_export.tree import Tree
from project_export.tree.evidence import HEAD, Row, names
from tests.reader import data


def real(text: str) -> dict[str, Any]:
    """Parse the union of real exports; return the facts about each relation by its dotted path in the tree."""
    return {path.replace("[]", ""): relation for path, relation in json.loads(text)["relations"].items()}


def number(version: str) -> tuple[int, ...]:
    """Return major and minor version for comparison: (17, 10) for "17.10.0-ee"."""
    return tuple(map(int, version.split(".")[:2]))


def seen(tree: Tree, known: Mapping[str, Any]) -> Iterator[Row]:
    """Yield the evidence of real exports for a tree's keys; keys with the same versions share a row."""
    for path, relation in tree.extended().walk():
        keys = known.get(path, {}).get("keys", {})
        by_versions: dict[tuple[str, ...], list[str]] = {}
        for name in names(relation):
            if name in keys:
                numbers = sorted({number(version) for version in keys[name]["versions"]})
                by_versions.setdefault(tuple(".".join(map(str, one)) for one in numbers), []).append(name)
        for versions, those in by_versions.items():
            yield Row("seen", path, versions, tuple(those), "")


def read() -> Iterator[Row]:
    """Yield the evidence in the second reader's data."""
    for one in data.evidence():
        yield Row(*one)


def line(row: Row) -> str:
    """Return a row as a line of the file."""
    return "\t".join((row.how, row.path, " ".join(row.where), " ".join(row.keys), row.note))


def write(tree: Tree, known: Mapping[str, Any]) -> None:
    """Write the tree's evidence; known: the facts about real exports."""
    file = Path(tree.evidence)
    comments = [text for text in file.read_text(encoding="utf-8").splitlines() if text.startswith("#")]
    lines = [*comments, "\t".join(HEAD), *map(line, (*read(), *seen(tree, known)))]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
