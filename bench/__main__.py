"""Compare project_export with its peers on generated data, and write a report.

python -m bench [--issues 100000] [--largest 1000000] [--rounds 3] [--merge-mb 1000] [--files-mb 100]
                [--check]
"""

from __future__ import annotations

import argparse
import logging
import sys
from importlib.util import find_spec
from pathlib import Path

from bench import data, files, report
from bench.folder import prepare
from bench.merge import Merging
from bench.peers import PEERS
from bench.run import agree, interleaved, measure
from dev.postgres import Server

NEEDED = ("copy", "ours", "ours-split", "rows", "orm")
SIZE_ROUNDS = 2


def main() -> None:
    """Run the command line; exit with 1 if a target is missed and --check was given."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--issues", type=int, default=100_000, help="issues of the project that all peers export")
    parser.add_argument("--largest", type=int, default=0, help="issues of the largest project, which only ours exports")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--merge-mb", type=int, default=1000, help="size of the parts to merge; 0: skip the merge")
    parser.add_argument("--files-mb", type=int, default=100, help="size of repository and uploads; 0: skip files")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    parser.add_argument("--state", type=Path, default=data.STATE, help="folder for databases and reports")
    arguments = parser.parse_args()
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
    names = [name for name in PEERS if name in NEEDED or name != "duckdb" or _duckdb()]
    issues: int = arguments.issues
    uri = data.prepare(server, issues)
    records = agree(uri, names, issues)
    peers = interleaved(uri, names, issues, arguments.rounds)
    sizes = {}
    for size in sorted({max(issues // 10, 1), issues, arguments.largest or issues}):
        sized = data.prepare(server, size)
        sizes[size] = peers["ours"] if size == issues else [measure(sized, "ours", size) for _ in range(SIZE_ROUNDS)]
    merging = {}
    if arguments.merge_mb:
        merged = Merging(arguments.state / "merge", uri, arguments.merge_mb * 1_000_000)
        merging = merged.interleaved(arguments.rounds)
        merged.remove()
    filed = {}
    if arguments.files_mb:
        filed = files.interleaved(prepare(server, arguments.state, arguments.files_mb), arguments.rounds)
    return report.Results(issues, records, peers, merging, sizes, report.machine(uri), filed)


def _duckdb() -> bool:
    if found := find_spec("duckdb") and find_spec("duckdb_extension_postgres_scanner"):
        return found is not None
    logging.warning("DuckDB is skipped: duckdb or duckdb-extension-postgres-scanner is not installed")
    return False


if __name__ == "__main__":
    main()
