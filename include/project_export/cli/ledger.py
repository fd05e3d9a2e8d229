"""`project-export ledger`: the ledger's tables."""

from __future__ import annotations

import typer

from project_export.cli.exits import errors
from project_export.cli.options import Dsn
from project_export.ledger import check as check_tables
from project_export.ledger import make_engine
from project_export.ledger import upgrade as upgrade_tables

app = typer.Typer(no_args_is_help=True, help="The ledger's tables.")


@app.command()
def upgrade(dsn: Dsn) -> None:
    """Create the ledger's tables, or bring them to this version; harmless when they are."""
    with errors():
        upgrade_tables(make_engine(dsn))
    print("the ledger is up to date")


@app.command()
def check(dsn: Dsn) -> None:
    """Say whether the ledger's tables are of this version."""
    with errors():
        check_tables(make_engine(dsn))
    print("the ledger is up to date")
