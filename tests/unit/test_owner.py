"""Who works on a row: one type formats it for the ledger and reads it back."""

from __future__ import annotations

import pytest

from project_export.steps import Owner


@pytest.mark.parametrize("run_id", ["dag/run", "dag/manual__2026-11-28T00:07:31+00:00", "dag/a run/3/1 of mine"])
@pytest.mark.parametrize("unit", [0, 7, -1])
def test_an_owner_comes_back_from_its_text(run_id: str, unit: int) -> None:
    owner = Owner(run_id, unit, 2)
    assert Owner.parse(str(owner)) == owner
    assert Owner.parse(str(owner.here())) == owner.here()
    assert owner.here().process is not None


@pytest.mark.parametrize("text", [None, "", "somebody", "dag/run", "dag/run/x/1"])
def test_a_text_that_names_none_is_no_owner(text: str | None) -> None:
    assert Owner.parse(text) is None


def test_only_another_try_of_the_same_unit_is_an_earlier_one() -> None:
    mine = Owner("dag/run", 1, 2)
    assert Owner("dag/run", 1, 1).here().earlier_try_of(mine)
    assert not mine.here().earlier_try_of(mine)
    assert not Owner("dag/run", 2, 1).earlier_try_of(mine)
    assert not Owner("dag/other", 1, 1).earlier_try_of(mine)
