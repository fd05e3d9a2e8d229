"""Facts about GitLab: those that come with the tests, and the folder of all, where there is one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.conftest import FACTS, REPO
from tests.reader import data


@pytest.fixture(scope="session")
def facts() -> Path:
    """The folder of facts about GitLab that comes with the tests."""
    return REPO / "tests" / "facts"


@pytest.fixture(scope="session")
def newer(facts: Path) -> Callable[[str], bool]:
    """Whether GitLab exports a relation or a key, by its dotted path, only since the facts were written."""
    source = yaml.safe_load((facts / "gitlab" / "tree.yaml").read_text(encoding="utf-8"))["source"]
    found = data.newer(source["commit"])
    return lambda path: any(f"{path}.".startswith(f"{one}.") for one in found)


@pytest.fixture(scope="session")
def facts_folder() -> Path:
    """The folder of all facts, real exports among them, which is not part of the repository."""
    folder = Path(os.environ.get(FACTS, REPO.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no folder of facts at {folder}; name it by {FACTS}")
    return folder.resolve()
