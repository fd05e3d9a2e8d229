"""`make demo` and `make up`: whether they keep an existing sample."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dev.demo import SCALE, DemoFailed, _sample
from dev.stack import Stack


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The scales of the samples that were made."""
    scales: list[float] = []
    monkeypatch.setattr(Stack, "make_sample", lambda stack, scale: scales.append(scale))
    return scales


def stack(folder: Path, scale: float | None) -> Stack:
    if scale is not None:
        (folder / "sample.json").write_text(json.dumps({"scale": scale}))
    return Stack(folder, print)


def test_the_sample_of_a_running_stack_is_kept_at_any_scale(tmp_path: Path, made: list[float]) -> None:
    for asked in (None, 100.0):
        _sample(stack(tmp_path, 100.0), asked, started=False)
    assert made == []


def test_a_scale_other_than_that_of_a_running_stack_is_refused(tmp_path: Path, made: list[float]) -> None:
    with pytest.raises(DemoFailed, match=r"scale 100.*scale 2 would replace.*make down"):
        _sample(stack(tmp_path, 100.0), 2.0, started=False)
    assert made == []


@pytest.mark.parametrize(("asked", "scale"), [(None, SCALE), (2.0, 2.0)])
def test_a_newly_started_stack_gets_the_requested_sample(
    tmp_path: Path, made: list[float], asked: float | None, scale: float
) -> None:
    _sample(stack(tmp_path, 100.0), asked, started=True)
    assert made == [scale]
