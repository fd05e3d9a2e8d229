"""The examples in the docstrings are true."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import project_export

LOADS_AIRFLOW = ("project_export.airflow", "project_export.ledger.migrations")
LIGHT = "project_export.airflow.web.views"
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(project_export.__path__, "project_export.")
    if not module.name.startswith(LOADS_AIRFLOW) or (module.name.startswith(LIGHT) and module.name != f"{LIGHT}.form")
)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_are_true(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    assert sum(bool(test.examples) for name in MODULES for test in finder.find(importlib.import_module(name))) >= 8
