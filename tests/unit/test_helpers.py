"""What the tests share reports a failure as the tests themselves do."""

from __future__ import annotations

import pkgutil
from pathlib import Path

import pytest

import tests
from tests.runs import assert_equal

HELPERS = sorted(
    module.name
    for module in pkgutil.walk_packages(tests.__path__, "tests.")
    if not module.ispkg and "assert " in Path(*module.name.split(".")).with_suffix(".py").read_text("utf-8")
)
"""All modules below tests/ that assert something."""


def test_a_helper_shows_the_values_of_an_assertion_that_fails() -> None:
    with pytest.raises(AssertionError, match=r"(?s)labels.*assert 1 == 2"):
        assert_equal({"labels": [{}]}, {"labels": [{}, {}]})
