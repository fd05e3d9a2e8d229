"""`make recording`: export the sample through a real Airflow, and draw the terminal output for README.md."""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from dev import processes
from dev.airflow import REPO
from dev.demo import STATE
from dev.progress import relations_table
from dev.stack import DAG_ID, Stack, StackError
from project_export.ledger import Ledger, make_engine
from project_export.store.uris import shown

IMAGE = REPO / "docs" / "images" / "export.svg"
PROJECT_ID, SCALE, WIDTH, RUN_SECONDS = 1, 25.0, 96, 300
FIRST, LAST = 10, 8


def main() -> int:
    """Write the image and return the exit code."""
    stack = Stack(STATE / "recording", print, {"PROJECT_EXPORT_UNIT_COST": "2000", "PROJECT_EXPORT_PRELOAD": "1"})
    console = Console(record=True, width=WIDTH, force_terminal=True, file=io.StringIO(), highlight=False)
    with stack.locked():
        try:
            stack.start()
            stack.make_sample(SCALE)
            _record(stack, console)
        finally:
            stack.stop()
    # Without the fonts that Rich would download; every character has a fixed position anyway.
    format_ = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    console.save_svg(str(IMAGE), title="project_export", code_format=format_)
    print(f"Wrote {IMAGE}.")
    return 0


def _record(stack: Stack, console: Console) -> None:
    rest, queries = stack.airflow.rest(), Ledger(make_engine(stack.ledger_uri)).queries
    conf = f'{{"project_id": {PROJECT_ID}}}'
    _run(console, "airflow", "dags", "trigger", DAG_ID, "--conf", conf, environment=stack.airflow.environment())
    (newest,) = rest.call("GET", f"/dags/{DAG_ID}/dagRuns?order_by=-id&limit=1")["dag_runs"]
    run_id = newest["dag_run_id"]
    if rest.wait_for_run(DAG_ID, run_id, RUN_SECONDS) != "success":
        raise StackError(f"The run {run_id} failed: {rest.task_errors(DAG_ID, run_id)}")
    job = queries.job_of_run(f"{DAG_ID}/{run_id}")
    assert job is not None
    console.print(relations_table(queries.relations(job.id)), "")
    archive = Path(shown(str(job.archive_uri)))
    os.chdir(archive.parent)
    names = _run(console, "tar", "--list", "--file", archive.name).splitlines()
    console.print(Text("\n".join([*names[:FIRST], f"({len(names) - FIRST - LAST} more)", *names[-LAST:], ""])))
    verified = _run(console, "project-export", "verify", archive.name)
    console.print(Text(verified.splitlines()[-1]))


def _run(console: Console, *command: str, environment: dict[str, str] | None = None) -> str:
    console.print(Text(f"$ {shlex.join(command)}", style="bold"))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = processes.run(command, environment={**(environment or os.environ), "PATH": path}, output=subprocess.PIPE)
    if done.returncode:
        raise StackError(f"{' '.join(command)} failed:\n{done.stdout}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
