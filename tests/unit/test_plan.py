"""The plan: which unit begins with what."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from project_export.plan import BYTES_PER_COST, PARTS_PER_UNIT, RAW_BYTES_PER_COST, Expected, Plan, make_plan
from project_export.producers import KINDS, Estimate
from project_export.settings import Settings
from project_export.tree import load, model

TREE = load("gitlab")
COUNTS = st.dictionaries(st.sampled_from(TREE.names), st.integers(0, 200_000), min_size=1)
QUICKLY = settings(max_examples=30, deadline=None)


def plan(counts: dict[str, int], *, split: bool = True, **changed: int) -> Plan:
    return make_plan(TREE, {name: Estimate(count) for name, count in counts.items()}, Settings(**changed), split=split)


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
    counts = {"project": 1, "issues": 50_001}
    assert Counter(piece.relation for piece in plan(counts).planned) == {"issues": 11, "project": 1}
    assert Counter(piece.relation for piece in plan(counts, split=False).planned) == {"issues": 1, "project": 1}


MIB = 1 << 20


def test_a_relation_of_few_large_records_is_split_by_its_bytes_and_never_into_more_parts_than_records() -> None:
    def parts(records: int, size: int) -> int:
        return len(make_plan(TREE, {"snippets": Estimate(records, size)}, Settings(), split=True).planned)

    assert [parts(100, size) for size in (0, 64 * MIB, 64 * MIB + 1, 320 * MIB)] == [1, 1, 2, 5]
    assert parts(3, 320 * MIB) == 3
    assert parts(1, 320 * MIB) == 1
    assert parts(0, 0) == 1
    assert parts(5_001, 1) == 2


def test_large_records_make_a_relation_cost_more_than_many_small_ones() -> None:
    found = make_plan(
        TREE, {"labels": Estimate(1000), "snippets": Estimate(10, 32 * MIB)}, Settings(units=1), split=True
    ).planned
    assert [(piece.relation, piece.estimate) for piece in found] == [("snippets", 32 << 10), ("labels", 2000)]


def test_each_kind_that_a_tree_may_name_has_a_producer() -> None:
    assert set(KINDS) == set(model.KINDS)


def test_a_relation_has_no_more_parts_than_balance_the_units() -> None:
    assert len(plan({"issues": 10**9}).planned) == 4 * PARTS_PER_UNIT
    assert len(plan({"issues": 10**9}, units=100).planned) == 100 * PARTS_PER_UNIT


@given(st.integers(100_000, 10**7), st.integers(2, 8))
@QUICKLY
def test_the_parts_of_a_big_relation_are_the_same_to_all_units(rows: int, units: int) -> None:
    shares = Counter(piece.unit for piece in plan({"issues": rows}, units=units).planned)
    assert len(shares) == units
    assert max(shares.values()) - min(shares.values()) <= 1


def test_a_small_project_is_one_unit_and_a_big_one_uses_all() -> None:
    small = dict.fromkeys(TREE.names, 3)
    assert len(plan(small).titles) == 1
    assert len(plan(small, unit_cost=1).titles) == 4
    assert len(plan({"issues": 10**6}, units=7).titles) == 7


def test_a_title_says_what_a_unit_begins_with() -> None:
    titles = plan({"issues": 10_001, "labels": 1, "boards": 2, "project": 1}, units=1).titles
    assert titles == ("issues (3 parts), boards, labels and 1 more",)
    titles = plan({"issues": 10**9, "labels": 1}, units=2).titles
    assert titles == ("issues (4 of 8 parts), labels", "issues (4 of 8 parts)")
    kept = plan({"labels": 5}).as_json()
    assert (kept["titles"], kept["project"]) == (["labels"], "")
    assert kept["expected"]["labels"]["records"] == 5


def test_costs_count_nested_relations() -> None:
    estimates = {piece.relation: piece.estimate for piece in plan({"issues": 10, "protected_tags": 10}).planned}
    assert estimates["issues"] > estimates["protected_tags"] >= 10


def test_a_unit_that_the_largest_part_leaves_no_work_for_is_not_planned() -> None:
    def units(*sizes: int) -> int:
        names = ("repository", "wiki_repository", "design_repository")
        found = {name: Estimate(1, size << 10) for name, size in zip(names, sizes, strict=False)}
        return len(make_plan(TREE, found, Settings(unit_cost=1000), split=True).titles)

    assert [units(*sizes) for sizes in ((100_000,), (100_000, 900), (100_000, 1000), (5000, 5000, 5000))] == [
        1,
        1,
        2,
        3,
    ]


def test_files_and_bundles_count_in_full_and_records_by_their_cost() -> None:
    sizes = {"labels": Estimate(1000, 1), "uploads": Estimate(3, 70 * MIB, True), "repository": Estimate(1, 5 * MIB)}
    found = make_plan(TREE, sizes, Settings(), split=True)
    cost = sum(piece.estimate for piece in found.planned if piece.relation == "labels")
    assert found.expected == Expected(cost * BYTES_PER_COST + 75 * MIB, cost * RAW_BYTES_PER_COST + 75 * MIB, 75 * MIB)
    unknown = make_plan(TREE, {"repository": Estimate(1), "uploads": Estimate(3)}, Settings(), split=True)
    assert unknown.expected == Expected(0, 0, 0)
