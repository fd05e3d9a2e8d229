"""The second reader's keys and their order, compared with real exports and with the tree of the facts."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import yaml

from tests import reader

Keys = dict[str, set[tuple[str, ...]]]

GONE = {"issues": ["external_key"], "issues.notes": ["attachment"]}
"""Keys of 17.1 whose columns were dropped."""
NEWER = {"namespace_id"}
"""Keys of design_versions that 17.1 did not have."""
VALUES = {
    "position",
    "original_position",
    "change_position",
    "st_diff",
    "merge_params",
    "trailers",
    "work_item_type",
} | {"attachment"}
"""Keys whose objects are values, not nested records."""
FROM_GIT = {"default_branch", "source_branch_sha", "target_branch_sha"}
LAST = {"labels": ["textColor"], "issues": ["work_item_type"], "ci_pipelines.stages.builds": ["when"]}
"""Keys that a model adds to the finished record."""


def keys(records: list[Any], path: str) -> Keys:
    """Return the orders of keys that occur at each path."""
    found: Keys = defaultdict(set)

    def visit(record: dict[str, Any], path: str) -> None:
        found[path].add(tuple(record))
        for key, value in record.items():
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, dict) and key not in VALUES:
                    visit(item, f"{path}.{key}")

    for record in records:
        visit(record, path)
    return found


@pytest.fixture(scope="module")
def ours(generated: str) -> Keys:
    with psycopg.connect(generated) as conn:
        project = reader.read_project(conn, 1)
    return {path: orders for name, records in project.items() for path, orders in keys(records, name).items()}


def longest(orders: set[tuple[str, ...]]) -> tuple[str, ...]:
    return max(orders, key=len)


def without(order: tuple[str, ...], dropped: list[str] | set[str]) -> list[str]:
    return [key for key in order if key not in dropped]


def test_issues_have_the_keys_of_a_real_export_in_its_order(ours, facts_folder):
    lines = (facts_folder / "real-exports" / "records-17.1-issues.ndjson").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    real = keys(records, "issues")
    assert {"issues.notes", "issues.designs", "issues.milestone.events", "issues.label_links.label"} <= real.keys()
    for path, orders in real.items():
        for order in orders:
            expected = without(order, GONE.get(path, []))
            assert without(longest(ours[path]), set(longest(ours[path])) - set(expected)) == expected, path
        absent = set(longest(ours[path])) - {key for order in orders for key in order}
        assert absent <= NEWER | {"sentry_issue", "system_note_metadata", "push_event_payload"}, path
    assert {tuple(record)[-1] for record in records} == {order[-1] for order in ours["issues"]} == {"work_item_type"}


def test_unedited_real_notes_have_the_time_of_their_update(facts_folder):
    lines = (facts_folder / "real-exports" / "records-17.1-issues.ndjson").read_text(encoding="utf-8").splitlines()
    notes = [note for line in lines for note in json.loads(line)["notes"]]
    assert notes
    assert all(note["last_edited_at"] for note in notes)


def relations(tree: dict[str, Any]) -> Iterator[tuple[str, list[str], set[str]]]:
    """Yield the path of each relation, its keys in order, and those that may be missing."""

    def visit(path: str, node: dict[str, Any]) -> Iterator[tuple[str, list[str], set[str]]]:
        children = node.get("children", [])
        found = [*node["columns"], *(method["name"] for method in node.get("methods", []))]
        found = without(tuple(dict.fromkeys(found)), FROM_GIT | {*LAST.get(path, [])})
        found += [*(child["relation"] for child in children), *LAST.get(path, [])]
        yield path, found, {child["relation"] for child in children if child["cardinality"] == "one"}
        for child in children:
            yield from visit(f"{path}.{child['relation']}", child)

    yield from visit("project", tree["root"])
    for relation in tree["relations"]:
        yield from visit(relation["relation"], relation)


def test_every_record_has_the_keys_of_the_tree_of_the_facts_in_its_order(ours, facts, newer):
    tree = yaml.safe_load((facts / "gitlab" / "tree.yaml").read_text(encoding="utf-8"))
    expected = {path: (order, optional) for path, order, optional in relations(tree)}
    del expected["user_contributions"]
    assert {path for path in ours.keys() - expected.keys() if not newer(path)} == set()
    assert {path for path in expected.keys() - ours.keys() if "." not in path} == set()
    for path in ours.keys() & expected.keys():
        order, optional = expected[path]
        for found in ([key for key in one if not newer(f"{path}.{key}")] for one in ours[path]):
            assert found == without(tuple(order), optional - set(found)), path
