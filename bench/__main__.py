"""Compare project_export with its peers on generated data, and write a report.

python -m bench [--full | --issues 12000 --merge-requests 4000 --pipelines 10000] [--largest N] [--rounds 3]
                [--merge-mb 300] [--files-mb 40] [--check]
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from bench import cold, data, files, report
from bench.folder import prepare
from bench.merge import Merging
from bench.peers import PEERS
from bench.run import Cost, agree, coders, floors, interleaved, measure
from bench.targets import PIPELINES, REAL, REQUESTS, WORST
from dev.postgres import Server

NEEDED = ("copy", "ours", "ours-split", "rows", "orm")
"""The ways that targets name."""
TWO = ("copy", "ours")
FULL = {"issues": 100_000, "merge_requests": 20_000, "pipelines": 50_000, "merge_mb": 1000, "files_mb": 100}
SMALL = {"issues": 12_000, "merge_requests": 4000, "pipelines": 10_000, "merge_mb": 300, "files_mb": 40}


def main() -> None:
    """Run the command line; exit with 1 if a target is missed and --check was given."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--full", action="store_true", help="the sizes of the targets, which take an hour")
    parser.add_argument("--issues", type=int, help="issues of the project that all peers export")
    parser.add_argument("--merge-requests", type=int, help="its merge requests")
    parser.add_argument("--pipelines", type=int, help="its pipelines")
    parser.add_argument("--merge-mb", type=int, help="size of the parts to merge; 0: skip the merge")
    parser.add_argument("--files-mb", type=int, help="size of repository and uploads; 0: skip files")
    parser.add_argument("--largest", type=int, default=0, help="issues of the largest project, which only ours exports")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    parser.add_argument("--state", type=Path, default=data.STATE, help="folder for databases and reports")
    arguments = parser.parse_args()
    for name, value in (FULL if arguments.full else SMALL).items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    server = data.start_server(arguments.state)
    try:
        results = run(server, arguments)
    finally:
        server.stop()
    folder = arguments.state / f"results-{arguments.issues}"
    folder.mkdir(exist_ok=True)
    text = report.markdown(results)
    (folder / "report.md").write_text(text)
    report.draw(results, folder / "size.png")
    print(text)
    print(f"This report and its plot are in {folder}.")
    missed = [verdict.target for verdict in report.verdicts(results) if not verdict.met]
    if arguments.check and missed:
        sys.exit(f"Targets missed: {'; '.join(missed)}.")


def run(server: Server, arguments: argparse.Namespace) -> report.Results:
    """Make the data, check that the peers agree, and measure them."""
    issues: int = arguments.issues
    requests: int = arguments.merge_requests
    rounds: int = arguments.rounds
    everyone = [name for name in PEERS if name != "duckdb" or _duckdb()]
    real = data.real_sized(server, data.Sizes(issues, requests, arguments.pipelines))
    workloads = {
        REAL: _issues(server, real, "{:,} issues of a usual project", issues, everyone, rounds),
        WORST: _issues(server, data.worst(server, issues), "{:,} issues in the worst case", issues, NEEDED, rounds),
        REQUESTS: _other(real, "merge_requests", f"{requests:,} merge requests", requests, rounds),
        PIPELINES: _other(real, "ci_pipelines", f"{arguments.pipelines:,} pipelines", arguments.pipelines, rounds),
    }
    sizes: dict[int, Sequence[Cost]] = {}
    for size in sorted({max(issues // 10, 1), issues, arguments.largest or issues}):
        if size == issues:
            sizes[size] = workloads[REAL].peers["ours"]
        else:
            sized = data.real_sized(server, data.Sizes(size))
            sizes[size] = [measure(sized, "ours", size) for _ in range(rounds)]
    merging = {}
    if arguments.merge_mb:
        merged = Merging(arguments.state / "merge", real, arguments.merge_mb * 1_000_000)
        merging = merged.interleaved(rounds)
        merged.remove()
    filed = {}
    if arguments.files_mb:
        filed = files.interleaved(prepare(server, arguments.state, arguments.files_mb), rounds)
    return report.Results(issues, workloads, merging, sizes, report.machine(real), filed, coders())


def _issues(server: Server, uri: str, title: str, issues: int, names: Sequence[str], rounds: int) -> report.Workload:
    """Measure the issues of a database, with a warm cache and with a cold one."""
    records = agree(uri, names, issues)
    peers = interleaved(uri, names, issues, rounds)
    reason = cold.chill(server)
    chilled = reason or [measure(uri, "ours", issues)]
    return report.Workload(title.format(records), records, peers, floors(uri, "issues"), chilled)


def _other(uri: str, relation: str, title: str, records: int, rounds: int) -> report.Workload:
    """Measure another relation, which only COPY and ours read."""
    measure(uri, "copy", records, relation)  # warms the cache
    peers = interleaved(uri, TWO, records, rounds, relation)
    return report.Workload(title, records, peers, floors(uri, relation))


def _duckdb() -> bool:
    if found := find_spec("duckdb") and find_spec("duckdb_extension_postgres_scanner"):
        return found is not None
    logging.warning("DuckDB is skipped: duckdb or duckdb-extension-postgres-scanner is not installed")
    return False


if __name__ == "__main__":
    main()
