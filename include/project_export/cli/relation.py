"""`project-export relation`: one relation of a job as a file, without the rest of the archive."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from project_export.cli.exits import errors
from project_export.cli.options import stored_exports
from project_export.steps import write_relation


def relation(
    job: Annotated[int, typer.Argument(min=1, help="Number of the job; `project-export status` shows them.")],
    name: Annotated[str, typer.Argument(metavar="RELATION", help="Name of the relation, e.g. issues.")],
    to: Annotated[Path | None, typer.Option(help="File to write; RELATION.ndjson.gz or .tar.gz if empty.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the exports; the setting of the store if empty.")] = None,
    ledger: Annotated[str, typer.Option("--ledger", help="DSN of the ledger; the one in OUT when empty.")] = "",
) -> None:
    """Write one finished relation of a job as gzip: lines of JSON, a tar of files, or a bundle.

    Its stored parts are joined: nothing is read from the source, and nothing is compressed again.
    """
    with errors():
        path, written = write_relation(stored_exports(out, ledger), job, name, to)
    print(f"{path}: {written.bytes} bytes, SHA-256 {written.sha256}")
