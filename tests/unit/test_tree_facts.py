"""The shipped tree against what is known of real exports."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from project_export.tree import Relation, Span, load_all

TREE = load_all("gitlab").extended()

Version = tuple[int, ...]
Seen = tuple[set[Version], dict[str, set[Version]]]
"""The versions whose exports have records of a relation, and those whose records have a key, by its name."""


@pytest.fixture(scope="module")
def known(facts: Path) -> dict[str, Any]:
    """What real exports hold: per relation, by its path in the tree."""
    found = json.loads((facts / "tools" / "keys_by_relation.json").read_text(encoding="utf-8"))["relations"]
    return {path.replace("[]", ""): relation for path, relation in found.items()}


def behind_columns(relation: Relation) -> list[str]:
    """Return the keys that are not columns of the table, in the order in which they are exported."""
    columns = TREE.known.get(relation.table, {})
    keys = [key for key in relation.keys if key.name not in columns]
    before, after = [key.name for key in keys if not key.last], [key.name for key in keys if key.last]
    return [*before, *(child.name for child in relation.children), *after]


def test_what_comes_after_the_columns_is_in_the_order_of_real_exports(known):
    # Columns are in the order of the table, which depends on what a database was upgraded from.
    compared = 0
    for path, relation in TREE.walk():
        real = known.get(path, {}).get("commonest_key_order", [])
        ours = [name for name in behind_columns(relation) if name in real]
        assert ours == [name for name in real if name in ours], path
        compared += len(ours) > 1
    assert compared >= 10


def version(text: str) -> Version:
    """Return a version without what its patches change: 17.10 of "17.10.0-ee"."""
    return tuple(map(int, text.split(".")[:2]))


def text(number: Version | None) -> str | None:
    return ".".join(map(str, number)) if number else None


def seen(known: Mapping[str, Any], path: str) -> Seen:
    keys = known.get(path, {}).get("keys", {})
    by_key = {name: {version(one) for one in key["versions"]} for name, key in keys.items()}
    return set().union(*by_key.values()), by_key


def places(known: Mapping[str, Any]) -> Iterator[tuple[list[tuple[str, Relation]], list[Seen]]]:
    """Yield the places of each kind of record, and what is known of each of them.

    Records of a table are of one kind when the tree says the same of their past: a place may override some keys.
    """
    kinds: defaultdict[tuple[Any, ...], list[tuple[str, Relation]]] = defaultdict(list)
    for path, relation in TREE.walk():
        kinds[relation.table, relation.since, relation.until].append((path, relation))
    for found in kinds.values():
        yield found, [seen(known, path) for path, _ in found]


def came(name: str, all_seen: list[Seen]) -> Span | None:
    """Return when a key came: after the last exports without it, and before the first ones with it."""
    without = {v for versions, keys in all_seen for v in versions if v < min(keys.get(name, set()), default=(999,))}
    first = {v for _, keys in all_seen for v in keys.get(name, set())}
    return Span(text(max(without)), text(min(first, default=None))) if without else None


def went(name: str, all_seen: list[Seen]) -> Span | None:
    last = max((v for _, keys in all_seen for v in keys.get(name, set())), default=None)
    gone = {v for versions, keys in all_seen for v in versions if name in keys and last and v > last}
    return Span(text(last), text(min(gone, default=None))) if last else None


def named(relation: Relation) -> set[str]:
    return {key.name for key in relation.keys}


PAID = {"requirements_access_level"}
"""What the tree lacks because only the paid edition has it: it is not gone."""


def test_since_and_until_are_what_real_exports_show(known):
    for found, all_seen in places(known):
        for (path, relation), its in zip(found, all_seen, strict=True):
            # The nested relations belong to this place; one that a record or an edition may lack proves nothing.
            always = [child.name for child in relation.children if not (child.one or child.optional)]
            spans = {name: came(name, [its]) for name in always}
            for key in relation.keys:
                having = [s for (_, place), s in zip(found, all_seen, strict=True) if key.name in named(place)]
                spans[key.name] = came(key.name, having)
            top = set(TREE.names) if relation is TREE.root else set()
            assert {name: span for name, span in relation.since if name not in top} == present(spans), path
            children = {child.name for _, place in found for child in place.children}
            kept = set().union(*(named(place) for _, place in found))
            gone = {name for _, keys in all_seen for name in keys} - kept - children
            spans = {name: went(name, all_seen) for name in gone - PAID}
            assert {name: span for name, span in relation.until if name not in top} == present(spans), path


def present(spans: Mapping[str, Span | None]) -> dict[str, Span]:
    return {name: span for name, span in spans.items() if span is not None}


def test_the_one_record_relations_that_came_and_went_are_those_of_real_exports(known):
    # Their files are in every archive, be they null; others have a file only where there are records.
    every = {version(one) for one in known["project"]["versions"]}
    # Those of the paid edition are not in every archive anyway.
    spans = {
        r.name: came(r.name, [(every, {r.name: {version(v) for v in known[r.name]["versions"]}})])
        for r in TREE.relations
        if r.one and not r.optional and r.name in known
    }
    assert {name: span for name, span in TREE.root.since if name in TREE.names} == present(spans)


def described(node: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the relations of the described tree with their dotted paths."""
    path = f"{above}{node['relation']}"
    yield path, node
    for child in node.get("children", []):
        yield from described(child, f"{path}.")


OF_NULL = {"ci_stage_status": {None: "created"}}
"""What the models' notes know besides: a stage's callback fills NULL in."""


def test_tables_keys_and_nested_relations_are_the_described_ones_in_their_order(facts, newer):
    text = yaml.safe_load((facts / "gitlab" / "tree.yaml").read_text(encoding="utf-8"))
    tree = load_all("gitlab")
    ours = {path: relation for path, relation in tree.walk() if relation.table and not newer(path)}
    theirs = dict(described(text["root"]))
    theirs.update(pair for node in text["relations"] for pair in described(node))
    assert ours.keys() == theirs.keys() - {"user_contributions"}
    for path, relation in ours.items():
        node = theirs[path]
        methods = node.get("methods", [])
        keys = [*node.get("columns", []), *(method["name"] for method in methods)]
        own = [key for key in relation.keys if not newer(f"{path}.{key.name}")]
        nested = [child.name for child in relation.children if not newer(f"{path}.{child.name}")]
        assert [key.name for key in own] == list(dict.fromkeys(keys)), path
        assert nested == [child["relation"] for child in node.get("children", [])], path
        assert (relation.table, relation.one or relation is tree.root) == (node["table"], node["cardinality"] != "many")
        enums = node.get("enums", {}) | {method["name"]: method["enum"] for method in methods if "enum" in method}
        assert {key.name: key.form.enum.name for key in own if key.form.enum} == {
            name: enum for name, enum in enums.items() if enum in text["enums"]
        }, path
        for enum in (key.form.enum for key in own if key.form.enum):
            assert dict(enum.names) == text["enums"][enum.name]["values"] | OF_NULL.get(enum.name, {}), enum.name


def paths(node: Any, above: str = "") -> Iterator[str]:
    """Yield the dotted paths of nested lists and mappings of names."""
    for item in node:
        for name, nested in item.items() if isinstance(item, dict) else [(item, [])]:
            yield f"{above}{name}"
            yield from paths(nested, f"{above}{name}.")


def test_every_relation_of_the_paid_edition_is_in_the_tree_or_named_as_not_covered(facts, newer):
    paid = yaml.safe_load((facts / "gitlab" / "tree.yaml").read_text(encoding="utf-8"))["ee_only"]
    there, uncovered = dict(TREE.walk()), dict(TREE.uncovered)
    named = [*paths(paid["project"]), *(f"{top}.{key}" for top, keys in paid["extra_columns"].items() for key in keys)]
    lacking = {path for path in named if path not in there}
    assert {path for path in lacking if not any(f"{path}.".startswith(f"{one}.") for one in uncovered)} == set()
    assert uncovered.keys() <= lacking
    assert {path for path in there if there[path].optional and not newer(path)} <= set(named)
