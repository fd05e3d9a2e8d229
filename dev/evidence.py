"""Update the tree's evidence from real exports: `python -m dev.evidence KEYS_BY_RELATION.json`.

The argument is the union of the keys of real exports by relation. It replaces the lines `seen`; all others stay.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from project_export.tree import Tree, load_all
from project_export.tree.evidence import HEAD, Row, names, rows


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


def line(row: Row) -> str:
    """Return a row as a line of the file."""
    return "\t".join((row.how, row.path, " ".join(row.where), " ".join(row.keys), row.note))


def main(facts: Path) -> None:
    """Rewrite the lines `seen` of the shipped tree's evidence."""
    tree = load_all("gitlab")
    kept = [row for row in rows(tree) if row.how != "seen"]
    file = Path(tree.evidence)
    comments = [text for text in file.read_text(encoding="utf-8").splitlines() if text.startswith("#")]
    found = seen(tree, real(facts.read_text(encoding="utf-8")))
    lines = [*comments, "\t".join(HEAD), *map(line, kept), *map(line, found)]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
