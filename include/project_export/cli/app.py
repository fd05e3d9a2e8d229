"""`project-export`: export a project, and everything around it, from a shell.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 exported with omissions, 130 interrupted, 143 terminated.
"""

from __future__ import annotations

from importlib import metadata
from typing import Annotated

import typer

from project_export.cli import (
    apply,
    check,
    dags,
    export,
    ledger,
    plan,
    prune,
    relation,
    sample,
    status,
    token,
    tree,
    verify,
)

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
app.add_typer(ledger.app, name="ledger")
app.add_typer(sample.app, name="sample")
app.add_typer(token.app, name="token")
app.add_typer(tree.app, name="tree")
app.command()(export.export)
app.command()(apply.apply)
app.command()(check.check)
app.command()(dags.dags)
app.command()(plan.plan)
app.command()(prune.prune)
app.command()(relation.relation)
app.command()(status.status)
app.command()(verify.verify)


def _version(asked: bool) -> None:
    if asked:
        print(f"project-export {metadata.version('project-export')}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Handle the options before a command. Its help is the module's docstring."""
