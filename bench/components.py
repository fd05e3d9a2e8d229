"""An environment of `make demo` in a folder of its own, and the CPU seconds that its processes use."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import psutil

from bench.data import STATE
from dev.airflow import COMPONENTS
from dev.stack import Stack

log = logging.getLogger(__name__)

Seconds = dict[str, float]


def environment(parser: argparse.ArgumentParser, folder: str) -> tuple[argparse.Namespace, Stack]:
    """Read the command line; return its arguments and an environment, which is not started yet.

    The parser gets the options that every benchmark of a running environment has. folder: where it is by default.
    """
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="changes a setting of the environment"
    )
    parser.add_argument("--state", type=Path, default=STATE / folder)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    settings = dict(pair.split("=", 1) for pair in arguments.set)
    return arguments, Stack(arguments.state, log.info, {"PROJECT_EXPORT_PRELOAD": "1", **settings})


class Components:
    """Reads the CPU seconds of an environment that this process has started."""

    def __init__(self, stack: Stack) -> None:
        self._postmaster = int((stack.postgres.cluster / "postmaster.pid").read_text().splitlines()[0])

    def cpu(self) -> Seconds:
        """Return the CPU seconds used so far by each component, by all tasks, and by PostgreSQL."""
        found = dict.fromkeys((*COMPONENTS, "tasks", "PostgreSQL"), 0.0)
        for child in psutil.Process().children():
            # The API server changes its process title to `api_server`.
            title = " ".join(child.cmdline()).replace("_", "-")
            name = next((one for one in COMPONENTS if one in title), None)
            if name is not None:
                tree = _tree(child)
                own = sum(child.cpu_times()[:2]) if name == "scheduler" else tree
                found[name] += own
                found["tasks"] += tree - own
        found["PostgreSQL"] = _tree(psutil.Process(self._postmaster))
        return found

    def since(self, before: Seconds) -> Seconds:
        """Return the CPU seconds used since `cpu` returned `before`."""
        return {name: value - before[name] for name, value in self.cpu().items()}


def _tree(process: psutil.Process) -> float:
    """Return the CPU seconds of a process, its live descendants, and the ended children that these have waited for."""
    total = 0.0
    for one in (process, *process.children(recursive=True)):
        try:
            total += sum(one.cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue  # it has ended; its parent has its times
    return total
