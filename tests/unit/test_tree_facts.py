"""The shipped tree against what is known of real exports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from project_export.tree import Relation, load

TREE = load("gitlab")


@pytest.fixture(scope="module")
def seen(facts: Path) -> dict[str, Any]:
    """What real exports hold: per relation, by its path in the tree."""
    found = json.loads((facts / "tools" / "keys_by_relation.json").read_text(encoding="utf-8"))["relations"]
    return {path.replace("[]", ""): relation for path, relation in found.items()}


def behind_columns(relation: Relation) -> list[str]:
    """Return the keys that are no columns of the table, in the order in which they leave."""
    columns = TREE.known.get(relation.table, {})
    keys = [key for key in relation.keys if key.name not in columns]
    before, after = [key.name for key in keys if not key.last], [key.name for key in keys if key.last]
    return [*before, *(child.name for child in relation.children), *after]


def test_what_comes_after_the_columns_stands_in_the_order_of_real_exports(seen):
    # Columns stand in the order of the table, which depends on what a database was upgraded from.
    compared = 0
    for path, relation in TREE.walk():
        real = seen.get(path, {}).get("commonest_key_order", [])
        ours = [name for name in behind_columns(relation) if name in real]
        assert ours == [name for name in real if name in ours], path
        compared += len(ours) > 1
    assert compared >= 10
