"""A source, a ledger and a store for faults in steps and in the shell's command, without Airflow."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from project_export.shell import source_name
from project_export.steps import Context, Created
from tests.chaos.invariants import Invariants, Undisturbed
from tests.conftest import REPO
from tests.runs import context, merge, started, work

SPAWN = multiprocessing.get_context("spawn")


class Environment(Invariants):
    """A source, a ledger and a store, in which project 1 was exported once, so that it has a good archive.

    ledger_uri: a ledger in PostgreSQL; by default, the file that the shell's command creates in the store.
    """

    def __init__(self, source: str, store: Path, undisturbed: Undisturbed, ledger_uri: str = "") -> None:
        self.source = source
        self.store = store
        self.undisturbed = undisturbed
        self.ledger_uri = ledger_uri or f"sqlite:///{store}/ledger.sqlite"
        self.place = (source, self.ledger_uri, store)
        store.mkdir()
        ctx = self.context(units=1)
        created = started(ctx, run_id="before")
        assert work(ctx, created) == []
        merge(ctx, created)
        ctx.ledger.close()

    def context(self, **settings: Any) -> Context:
        """Return a context for steps; its source has the name that the shell's command gives it."""
        return replace(context(*self.place, **settings), source=source_name(self.source))

    def archives(self) -> list[Path]:
        """Return all archives in the store, complete or not."""
        return sorted(self.store.rglob("project.tar*"))

    def changed(self, *, tools: bool = True) -> None:
        """Expect changed data from now on: later exports must be the same as an export of the present data.

        tools: whether the tools in the folder of facts accept such data.
        """
        facts = self.undisturbed.facts if tools else None
        self.undisturbed = Undisturbed(self.source, self.store.with_name("changed"), facts, self.undisturbed.locations)

    def process(self, target: Callable[..., None], created: Created, run_id: str, *arguments: Any) -> BaseProcess:
        """Start one of the `victims` on a job as a process of its own."""
        process = SPAWN.Process(target=target, args=(*self.place, created.job_id, run_id, *arguments))
        process.start()
        return process

    def shell(self, *arguments: str, limit: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
        """Export project 1 by the shell's command, to its end.

        limit: arguments of ulimit. settings: of the environment, without their prefix, in small letters.
        """
        others = {name: value for name, value in os.environ.items() if not name.startswith("PROJECT_EXPORT_")}
        defaults = {"gitlab_version": "18.6.0", "gitlab_revision": "0123456789a", "unit_cost": "1"}
        defaults |= {"locations": self.undisturbed.locations}
        mine = {f"PROJECT_EXPORT_{name.upper()}": value for name, value in {**defaults, **settings}.items()}
        command = [sys.executable, "-c", "from project_export.cli import app; app()", "export", "--project-id", "1"]
        command += ["--source", self.source, "--out", str(self.store), *arguments]
        limited = ["sh", "-c", f'ulimit {limit} && exec "$@"', "sh", *command] if limit else command
        environment = {**others, **mine, "PYTHONPATH": str(REPO / "include")}
        return subprocess.run(limited, env=environment, capture_output=True, text=True, timeout=120, check=False)


def archive_of(done: subprocess.CompletedProcess[str]) -> Path:
    """Return the archive that an export by the shell names in its last line."""
    assert done.returncode == 0, done.stdout + done.stderr
    return Path(done.stdout.splitlines()[-1].removeprefix("archive: "))
