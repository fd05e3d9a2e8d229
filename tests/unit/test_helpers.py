"""What the tests share reports a failure as the tests themselves do; marks are declared and used."""

from __future__ import annotations

import importlib.util
import pkgutil
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


def test_every_mark_that_is_declared_is_used() -> None:
    declared = (FOLDER.parent / "pyproject.toml").read_text("utf-8").partition("\nmarkers = [")[2].partition("]")[0]
    names = {line.strip(' "').partition(":")[0] for line in declared.split("\n") if ":" in line}
    assert {"slow", "heavy"} <= names
    sources = "".join(path.read_text("utf-8") for path in FOLDER.rglob("test_*.py"))
    assert {name for name in names if f"pytest.mark.{name}" not in sources} == set()
