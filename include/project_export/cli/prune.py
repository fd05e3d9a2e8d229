"""`project-export prune`: the same as the DAG `prune_exports`, without Airflow."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from project_export import shell
from project_export.cli.exits import errors
from project_export.cli.options import stored_exports
from project_export.steps import prune as prune_exports


def prune(
    out: Annotated[Path | None, typer.Option(help="Folder of the exports; the setting of the store if empty.")] = None,
    ledger: Annotated[str, typer.Option("--ledger", help="DSN of the ledger; the one in OUT when empty.")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing, only report what would be removed.")
    ] = False,
) -> None:
    """Remove expired archives, parts and jobs, and fail jobs whose process is gone.

    The settings define how long they are kept. Jobs of Airflow's runs never fail here: only Airflow knows whether a run
    is alive.
    """
    with errors():
        pruned = prune_exports(stored_exports(out, ledger), shell.run_alive, dry_run=dry_run)
    print("would be removed:" if dry_run else "removed:")
    for name, number in asdict(pruned).items():
        print(f"  {name}: {number}")
