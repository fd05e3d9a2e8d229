"""`make demo` and `make up`: what they do with a sample that is there."""

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


def test_the_sample_of_what_runs_already_is_kept_whatever_its_scale(tmp_path: Path, made: list[float]) -> None:
    for asked in (None, 100.0):
        _sample(stack(tmp_path, 100.0), asked, anew=False)
    assert made == []


def test_another_scale_than_that_of_what_runs_already_is_refused(tmp_path: Path, made: list[float]) -> None:
    with pytest.raises(DemoFailed, match=r"scale 100.*scale 2 would replace.*make down"):
        _sample(stack(tmp_path, 100.0), 2.0, anew=False)
    assert made == []


@pytest.mark.parametrize(("asked", "scale"), [(None, SCALE), (2.0, 2.0)])
def test_what_was_started_for_it_has_the_sample_that_is_asked_for(
    tmp_path: Path, made: list[float], asked: float | None, scale: float
) -> None:
    _sample(stack(tmp_path, 100.0), asked, anew=True)
    assert made == [scale]
