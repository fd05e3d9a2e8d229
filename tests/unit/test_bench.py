"""The benchmark's arithmetic; its measurements are not asserted anywhere."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest

from bench import __main__ as command
from bench import floors, proc, report
from bench.peers.__main__ import consume, hashes
from bench.real import positions
from bench.run import Cost
from project_export.trees.gitlab import quick_position
from tests.runs import wait_until


def cost(client: float, server: float = 0.0, mb: float = 50.0) -> Cost:
    return Cost(client, server, client + server, mb, 5.0, 1_000_000, 250_000)


def results(ours: float = 3.0, largest: float = 30.0, wall: float = 0.5) -> report.Results:
    mine = [replace(cost(ours - 1.5, 1.5), wall=ours * wall)] * 2
    peers = {
        "copy": [cost(0.2, 0.8)] * 2,
        "ours": mine,
        "ours-split": mine,
        "rows": [cost(ours * 1.7)] * 2,
        "orm": [cost(ours * 10)] * 2,
    }
    floors = {"SHA-256": 0.5, "deflate": 0.3}
    workloads = {
        "issues": report.Workload("10 issues", 10, peers, floors, [cost(4, 2)]),
        "merge_requests": report.Workload("5 merge requests", 5, peers, floors, "the machine has no cache"),
    }
    merging = {"merge-ours": [cost(0.2)], "merge-cat": [cost(0.1)], "merge-gzip": [cost(25)]}
    return report.Results(10, workloads, merging, {10: [cost(ours)], 100: [cost(largest)]}, "a machine")


def test_a_record_counts_by_its_values_and_their_order_not_by_how_json_writes_it() -> None:
    one = hashes(iter([b'{"a":"<","b":[1,null]}\n{"a":2}\n']), [1, 2])
    assert one == hashes(iter([b'{"a": "\\u003c", "b": [1, null]}\n', b'{"a":2}\n']), [1, 2])
    assert one["records"] == "2"
    for other in (b'{"a":2}\n{"a":"<","b":[1,null]}\n', b'{"b":[1,null],"a":"<"}\n{"a":2}\n', b'{"a":"<"}\n{"a":2}\n'):
        assert hashes(iter([other]), [1])["1"] != one["1"]


def test_a_record_may_come_in_several_chunks() -> None:
    whole = hashes(iter([b'{"a":1}\n{"a":2}\n']), [1])
    assert hashes(iter([b'{"a', b'":1}\n{"a":', b"2}", b"\n"]), [1]) == whole
    assert whole["records"] == "2"


def test_a_sample_is_compared_with_every_nth_record() -> None:
    whole = hashes(iter([b"1\n2\n3\n4\n5\n"]), [1, 2])
    assert hashes(iter([b"1\n3\n5\n"]), [1])["1"] == whole["2"]


@pytest.mark.parametrize("compressor", ["none", "gzip -6", "isal 1", "part"])
def test_discarded_output_is_counted(compressor: str) -> None:
    raw, stored = consume(iter([b"x" * 1000, b"y" * 1000]), compressor)  # type: ignore[arg-type]
    assert raw == 2000
    assert stored < 100


def test_results_that_meet_all_targets_miss_none() -> None:
    assert [verdict.target for verdict in report.verdicts(results()) if not verdict.met] == []


def test_a_missed_target_is_named_in_the_report() -> None:
    found = results(ours=6.0, largest=70.0, wall=0.9)
    missed = [verdict.target for verdict in report.verdicts(found) if not verdict.met]
    assert missed == [
        "issues: CPU against binary COPY",
        "issues: wall against CPU of one worker",
        "merge requests: CPU against binary COPY",
        "CPU from 10 to 100 issues, per tenfold",
    ]
    lines = report.markdown(found).splitlines()
    assert "| issues: CPU against binary COPY | ≤ 4 | 6.00 | **no** |" in lines


@pytest.mark.parametrize(("ours", "code"), [(3.0, None), (9.0, "Targets missed: issues: CPU against binary COPY; ")])
def test_check_exits_with_what_is_missed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ours: float, code: str | None
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", "--check", f"--state={tmp_path}"])
    monkeypatch.setattr(command.data, "start_server", lambda _: SimpleNamespace(stop=lambda: None))
    monkeypatch.setattr(command, "run", lambda *_: results(ours=ours))
    monkeypatch.setattr(command.report, "draw", lambda *_: None)
    if code is None:
        command.main()
    else:
        with pytest.raises(SystemExit, match=code):
            command.main()
    assert (tmp_path / "results-12000" / "report.md").exists()


def test_the_report_says_how_far_we_are_from_the_limit_and_what_a_cold_cache_costs() -> None:
    lines = report.markdown(results()).splitlines()
    start = lines.index("| limits | client CPU | server CPU | total |")
    assert lines[start + 2 : start + 8] == [
        "| raw COPY of this project's rows alone | 0.20 | 0.80 | 1.00 |",
        "| SHA-256 of 1 MB | 0.50 | 0.00 | 0.50 |",
        "| deflate of 1 MB | 0.30 | 0.00 | 0.30 |",
        "| the limit, together | 1.00 | 0.80 | 1.80 |",
        "| project_export | 1.50 | 1.50 | 3.00 |",
        "| times the limit | 1.5 | 1.9 | 1.7 |",
    ]
    assert "With a cold cache, project_export takes 6.0 s and 6.0 s of CPU, instead of 1.5 s and 3.0 s." in lines
    assert "A cold cache was not measured: the machine has no cache." in lines


def test_the_bytes_alone_cost_something() -> None:
    assert all(0 < seconds < 1 for seconds in floors.measure(os.urandom(1 << 20)).values())


def test_the_positions_of_the_data_need_no_yaml_parser() -> None:
    assert not [text for text in positions(Random(2), 500) if quick_position(json.dumps(text).encode()) is None]


def test_files_are_compared_with_the_first_way_and_their_memory_has_a_limit() -> None:
    costs = {"tar": [Cost(0, 0.5, 0.7, 0, 2, 0, 0)], "ours": [Cost(1, 0, 1.2, 201, 0, 2_000_000, 1_000_000)]}
    found = replace(results(), files={"uploads": costs})
    assert [verdict.target for verdict in report.verdicts(found) if not verdict.met] == [
        "memory of the process that exports files, MB"
    ]
    lines = report.markdown(found).splitlines()
    start = lines.index(report.files(found.files)[0])
    assert lines[start + 2].startswith("| uploads | own CPU | tools' CPU | total | ratio | wall | own MB | tools' MB |")
    assert lines[start + 4].startswith("| `tar -cf` | 0.00 (0.00 to 0.00) | 0.50 (0.50 to 0.50) |")
    assert lines[start + 4].endswith("| 1.0 | 0.7 | 0 | 2 |  |  |")
    assert lines[start + 5].endswith("| 2.0 | 1.2 | 201 | 0 | 2 | 1 |")


def test_a_ratio_is_the_median_of_the_rounds() -> None:
    costs = {"a": [cost(2), cost(30), cost(4)], "b": [cost(1), cost(10), cost(4)]}
    assert report.ratio(costs, "a", "b", lambda c: c.client) == 2


def test_the_cost_of_a_sample_is_scaled_but_not_its_memory() -> None:
    scaled = cost(1, 2, mb=70).times(20)
    assert (scaled.client, scaled.server, scaled.client_mb) == (20, 40, 70)


@pytest.mark.skipif(sys.platform != "linux", reason="processes are read from /proc")
def test_a_process_knows_its_parent_and_its_peak() -> None:
    assert proc.parent(os.getpid()) == os.getppid()
    block = bytearray(50 << 20)
    assert proc.peak_mb() > len(block) / 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="processes are read from /proc")
def test_the_peak_of_each_program_that_a_process_starts_is_seen() -> None:
    command = ["/bin/sh", "-c", "{ head -c 60000000 /dev/zero; sleep 60; } | tail -c 50000000 >/dev/null"]
    with subprocess.Popen(command, start_new_session=True) as process, proc.ProgramWatch(process.pid) as watch:
        try:
            wait_until(lambda: watch.peaks.get("tail", 0) > 45 and "sleep" in watch.peaks)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
    assert watch.peaks["sleep"] < 10
    assert 45 < watch.private["tail"] <= watch.peaks["tail"]
