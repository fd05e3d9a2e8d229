"""The command `project-export`, run in this process. It is built once, which takes as long as most commands run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import typer
from typer.testing import CliRunner

from project_export.cli import app


@dataclass(frozen=True)
class Ran:
    """How a command ended and what it printed. output: both streams, as they came."""

    exit_code: int
    stdout: str
    stderr: str
    output: str


@cache
def command() -> Any:
    """Return the command with all its verbs."""
    return typer.main.get_command(app)


def run(arguments: Sequence[str]) -> Ran:
    """Run the command to its end; what it does not catch is raised."""
    exit_code = 0
    with CliRunner().isolation() as streams:
        try:
            command().main(list(arguments), prog_name="project-export")
        except SystemExit as ended:
            exit_code = int(ended.code or 0)
        sys.stdout.flush()
        sys.stderr.flush()
        return Ran(exit_code, *(stream.getvalue().decode() for stream in streams))
