"""Measure the ways to read a repository and uploads, each in a process of its own.

python -m bench.files [--mb 100] [--rounds 3]
"""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
from pathlib import Path

from bench import data, proc, report
from bench.discard import WAYS
from bench.folder import Folder, prepare
from bench.run import Cost

log = logging.getLogger(__name__)


def main() -> None:
    """Run the command line: make the data, measure, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.files", description=__doc__)
    parser.add_argument("--mb", type=int, default=100, help="size of the repository, and of the uploads")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--state", type=Path, default=data.STATE, help="folder for databases and files")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    server = data.start_server(arguments.state)
    try:
        folder = prepare(server, arguments.state, arguments.mb)
        print("\n".join(report.files(interleaved(folder, arguments.rounds))))
    finally:
        server.stop()


def interleaved(folder: Folder, rounds: int) -> dict[str, dict[str, list[Cost]]]:
    """Measure all ways in turn, for that many rounds; return their costs by relation and way."""
    costs: dict[str, dict[str, list[Cost]]] = {relation: {way: [] for way in ways} for relation, ways in WAYS.items()}
    for _ in range(rounds):
        for relation, ways in costs.items():
            for way, found in ways.items():
                found.append(measure(folder, relation, way))
    return costs


def measure(folder: Folder, relation: str, way: str) -> Cost:
    """Run one way once, in a process of its own, and return its cost. `server` is the share of git, tar and gzip."""
    command = [sys.executable, "-m", "bench.discard", relation, way, folder.uri, str(folder.path)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process,
        proc.ProgramWatch(process.pid) as watch,
    ):
        answer, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{way} ended with exit code {process.returncode}; stderr has the reason")
    peaks = (watch.peaks.get(name, 0.0) for name in WAYS[relation][way].programs)
    cost = Cost(**json.loads(answer), server_mb=max(peaks, default=0.0))
    log.info("%-10s %-6s %.2f s, of tools %.2f s", relation, way, cost.cpu, cost.server)
    return cost


if __name__ == "__main__":
    main()
