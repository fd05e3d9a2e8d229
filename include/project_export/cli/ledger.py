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
    """Create the ledger's tables, or migrate them to this version; does nothing if they are up to date."""
    with errors():
        upgrade_tables(make_engine(dsn))
    print("the ledger is up to date")


@app.command()
def check(dsn: Dsn) -> None:
    """Check whether the ledger's tables have this version."""
    with errors():
        check_tables(make_engine(dsn))
    print("the ledger is up to date")
