"""The plan: which unit begins with what."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from project_export.plan import Plan, make_plan
from project_export.settings import Settings
from project_export.tree import load

TREE = load("gitlab")
COUNTS = st.dictionaries(st.sampled_from(TREE.names), st.integers(0, 200_000), min_size=1)
QUICKLY = settings(max_examples=30, deadline=None)


def plan(counts: dict[str, int], *, split: bool = True, **changed: int) -> Plan:
    return make_plan(TREE, counts, Settings(**changed), split=split)


@given(COUNTS, st.booleans(), st.integers(1, 12))
@QUICKLY
def test_every_relation_is_planned_whole_and_units_are_never_empty(
    counts: dict[str, int], split: bool, units: int
) -> None:
    made = plan(counts, split=split, units=units)
    assert {piece.relation for piece in made.planned} == set(counts)
    for relation in counts:
        its = [piece for piece in made.planned if piece.relation == relation]
        assert sorted(piece.part for piece in its) == list(range(its[0].parts))
    assert {piece.unit for piece in made.planned} == set(range(len(made.titles)))
    assert len(made.titles) <= min(units, len(made.planned))


@given(COUNTS)
@QUICKLY
def test_the_same_numbers_give_the_same_plan(counts: dict[str, int]) -> None:
    assert plan(counts) == plan(dict(reversed(counts.items())))


@given(COUNTS)
@QUICKLY
def test_the_largest_come_first(counts: dict[str, int]) -> None:
    estimates = [piece.estimate for piece in plan(counts).planned]
    assert estimates == sorted(estimates, reverse=True)


def test_a_big_relation_is_split_only_where_all_parts_share_a_snapshot() -> None:
    counts = {"project": 1, "issues": 100_001}
    assert Counter(piece.relation for piece in plan(counts).planned) == {"issues": 6, "project": 1}
    assert Counter(piece.relation for piece in plan(counts, split=False).planned) == {"issues": 1, "project": 1}


def test_a_relation_has_512_parts_at_the_most() -> None:
    assert max(piece.parts for piece in plan({"issues": 10**9}).planned) == 512


def test_a_small_project_is_one_unit_and_a_big_one_uses_all() -> None:
    small = dict.fromkeys(TREE.names, 3)
    assert len(plan(small).titles) == 1
    assert len(plan(small, unit_cost=1).titles) == 4
    assert len(plan({"issues": 10**6}, units=7).titles) == 7


def test_a_title_says_what_a_unit_begins_with() -> None:
    titles = plan({"issues": 40_001, "labels": 1, "boards": 1, "project": 1}, units=1).titles
    assert titles == ("issues 1/3, issues 2/3, issues 3/3 and 3 more",)
    assert plan({"labels": 5}).as_json() == {"titles": ["labels"]}


def test_costs_count_nested_relations() -> None:
    estimates = {piece.relation: piece.estimate for piece in plan({"issues": 10, "protected_tags": 10}).planned}
    assert estimates["issues"] > estimates["protected_tags"] >= 10
