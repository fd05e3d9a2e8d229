"""What tests of the steps share."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.runs import Make, context


@pytest.fixture
def make(generated: str, ledger_dsn: str, tmp_path: Path) -> Make:
    """Return a context on the generated sample; settings may be changed."""
    return lambda source=generated, **settings: context(source, ledger_dsn, tmp_path, **settings)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool
