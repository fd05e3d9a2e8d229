"""What the tests share reports a failure as the tests themselves do; marks are declared and used."""

from __future__ import annotations

import importlib.util
import pkgutil
import re
from pathlib import Path

import pytest

import tests
from tests.runs import assert_equal

FOLDER = Path(__file__).resolve().parents[1]


def test_a_helper_shows_the_values_of_an_assertion_that_fails() -> None:
    with pytest.raises(AssertionError, match=r"(?s)labels.*assert 1 == 2"):
        assert_equal({"labels": [{}]}, {"labels": [{}, {}]})


def test_assertions_are_rewritten_in_every_module_below_tests() -> None:
    names = [module.name for module in pkgutil.walk_packages(tests.__path__, "tests.") if not module.ispkg]
    assert {"tests.runs", "tests.reader.shapes", "tests.dags.stage", "tests.unit.archive_files"} <= set(names)
    specs = {name: importlib.util.find_spec(name) for name in names}
    assert [name for name, spec in specs.items() if spec is None or type(spec.loader) is not type(__loader__)] == []


def test_the_marks_in_use_are_those_that_are_declared_and_those_that_have_an_effect_by_themselves() -> None:
    text = (FOLDER.parent / "pyproject.toml").read_text("utf-8").partition("\nmarkers = [")[2].partition("]")[0]
    declared = {line.strip(' "').partition(":")[0] for line in text.split("\n") if ":" in line}
    assert {"slow", "heavy"} <= declared
    used = {
        name for path in FOLDER.rglob("*.py") for name in re.findall(r"pytest\.mark\.(\w+)", path.read_text("utf-8"))
    }
    assert used == declared | {"fault", "parametrize", "skipif", "timeout", "usefixtures"}
