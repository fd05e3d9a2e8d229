"""The CPU seconds of a running environment, per component of Airflow with its child processes, and of PostgreSQL."""

from __future__ import annotations

import psutil

from dev.airflow import COMPONENTS
from dev.stack import Stack

Seconds = dict[str, float]


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
