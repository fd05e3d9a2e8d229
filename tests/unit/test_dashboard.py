"""The example dashboard: it is whole, and shows every metric and no other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from project_export.steps.metrics import COUNTERS, GAUGES, PREFIX, TIMINGS

REPO = Path(__file__).resolve().parents[2]
BOARD = REPO / "docs" / "grafana" / "project_export.json"


def targets() -> Iterator[dict[str, Any]]:
    for panel in json.loads(BOARD.read_text("utf-8"))["panels"]:
        yield from panel["targets"]


def exported(name: str, suffix: str = "") -> str:
    """Return the name that the StatsD exporter of Prometheus makes of a metric of Airflow."""
    return f"airflow.{PREFIX}{name}".replace(".", "_") + suffix


def test_it_shows_every_metric_and_no_other() -> None:
    shown = {name for one in targets() for name in re.findall(r"\bairflow_\w+", one.get("expr", ""))}
    counters = {exported(name, "_total") for name in COUNTERS}
    assert shown == counters | {exported(name) for name in (*TIMINGS, *GAUGES)}


def test_its_panels_have_a_place_a_title_and_a_data_source_that_can_be_chosen() -> None:
    board = json.loads(BOARD.read_text("utf-8"))
    variables = {f"${{{one['name']}}}" for one in board["templating"]["list"]}
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    cells = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in panels
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24
    assert {one["datasource"]["uid"] for one in targets()} == variables


def test_the_docs_list_every_metric() -> None:
    page = (REPO / "docs" / "operate.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `project_export\.([\w.]+)` \| \w+ \| (.*?) \|$", page, re.MULTILINE))
    assert rows == {**COUNTERS, **TIMINGS, **GAUGES}
