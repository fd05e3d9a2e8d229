"""`project-export token`: the tokens of the API."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from project_export.cli.exits import errors
from project_export.cli.tables import moment, print_table
from project_export.errors import BadRequest
from project_export.ledger import Token
from project_export.shell import kept_ledger

app = typer.Typer(no_args_is_help=True, help="The tokens of the API.")

LedgerDsn = Annotated[str, typer.Option("--ledger", help="DSN of the ledger.")]


@app.command("list")
def show(
    ledger: LedgerDsn,
    user: Annotated[str, typer.Option(help="Show the tokens of this user only.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Show the tokens of a user, or of all users, newest first. The ledger does not know their secrets."""
    with errors():
        rows = [_row(token) for token in kept_ledger(None, ledger).tokens.of(user or None)]
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        print_table(rows, "no tokens")


@app.command()
def revoke(
    token: Annotated[int, typer.Argument(min=1, help="The token's number, as `list` shows it.")], ledger: LedgerDsn
) -> None:
    """Revoke a token: from now on, the API refuses it."""
    with errors():
        if not kept_ledger(None, ledger).tokens.revoke(token):
            raise BadRequest(f"the ledger has no token {token}, or it is revoked already")
    print(f"token {token} is revoked")


def _row(token: Token) -> dict[str, Any]:
    return {
        "token": token.id,
        "user": token.user_name,
        "name": token.name,
        "state": "valid" if token.valid else "revoked" if token.revoked_at else "expired",
        "created": moment(token.created_at),
        "used": moment(token.last_used_at),
        "expires": moment(token.expires_at),
        "revoked": moment(token.revoked_at),
    }
