"""The output of `python -m bench.warm`. Whether the benchmark itself works is only seen by running it for a minute."""

from __future__ import annotations

from bench.warm import Measured, table


def run(merge: float, tasks: float) -> Measured:
    return Measured({"merge": merge, "all": 2 * merge}, {"tasks": tasks, "PostgreSQL": 0.5}, "7 records")


def test_the_table_shows_medians_spread_and_idle_cpu() -> None:
    text = table([run(1, 2), run(4, 3), run(2, 2.5)], {"tasks": 0.0, "PostgreSQL": 0.1})
    assert text.splitlines() == [
        "7 records; 3 runs. Seconds, median (min to max).",
        "",
        "| stage | wall |",
        "| --- | ---: |",
        "| merge | 2.00 (1.00 to 4.00) |",
        "| all | 4.00 (2.00 to 8.00) |",
        "",
        "| process | CPU | idle CPU |",
        "| --- | ---: | ---: |",
        "| tasks | 2.50 (2.00 to 3.00) | 0.00 |",
        "| PostgreSQL | 0.50 (0.50 to 0.50) | 0.40 |",
        "| all | 3.00 (2.50 to 3.50) | 0.40 |",
    ]
