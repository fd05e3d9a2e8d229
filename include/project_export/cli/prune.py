"""`project-export prune`: the retention of the DAG `prune_exports`, where there is no Airflow."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import psycopg
import typer

from project_export import shell
from project_export.cli.exits import errors
from project_export.cli.options import settings
from project_export.errors import BadRequest
from project_export.steps import Context
from project_export.steps import prune as prune_exports
from project_export.store.uris import uri_of


def prune(
    out: Annotated[Path | None, typer.Option(help="Folder of the exports; the setting of the store if empty.")] = None,
    ledger: Annotated[str, typer.Option("--ledger", help="DSN of the ledger; the one in OUT when empty.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing, only say what would be removed.")] = False,
) -> None:
    """Remove archives, parts and jobs that are past their time, and fail jobs whose process is gone.

    How long they are kept is in the settings. Jobs of Airflow's runs are never failed here: only Airflow knows them.
    """
    with errors():
        given = settings()
        if out is not None:
            given = given.model_copy(update={"store": uri_of(out.resolve())})
        ctx = Context(given, shell.kept_ledger(out, ledger), "", _no_source)
        pruned = prune_exports(ctx, shell.run_alive, dry_run=dry_run)
    print("would be removed:" if dry_run else "removed:")
    for name, number in asdict(pruned).items():
        print(f"  {name}: {number}")


def _no_source() -> psycopg.Connection[Any]:
    raise BadRequest("prune reads no source")
