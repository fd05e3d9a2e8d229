"""Lets the tasks of a real Airflow raise what nobody foresaw, where a test's file says so.

Python imports a module of this name at its start from wherever PYTHONPATH leads, before any module of the project.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

HOOK = "CHAOS_HOOK"
"""The environment variable that names the file; in it is a key of PLACES, or nothing."""
PLACES = {
    "unit": ("project_export.source.read", "Reader.read", "boards"),
    "merge": ("project_export.store.base", "Store.assemble", None),
    "after": ("project_export.steps.after", "upload", None),
}
"""Module, function, and the relation for which it raises, None for any."""


class Finder:
    """Finds the modules of PLACES as any other, and wraps their functions when they have been loaded."""

    def __init__(self) -> None:
        self._finding = False

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return the spec of a module of PLACES, None of all others."""
        places = {place: where for place, where in PLACES.items() if where[0] == name}
        if self._finding or not places:
            return None
        self._finding = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._finding = False
        if spec is None or spec.loader is None:
            return None
        load = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            load(module)
            for place, (_, function, relation) in places.items():
                *above, last = function.split(".")
                owner = functools.reduce(getattr, above, module)
                setattr(owner, last, _raising(getattr(owner, last), place, relation))

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _raising(real: Callable[..., Any], place: str, relation: str | None) -> Callable[..., Any]:
    @functools.wraps(real)
    def call(*args: Any, **kwargs: Any) -> Any:
        if Path(os.environ[HOOK]).read_text() == place and (relation is None or relation in args):
            raise RuntimeError("nobody foresaw this")
        return real(*args, **kwargs)

    return call


if HOOK in os.environ:
    sys.meta_path.insert(0, Finder())
