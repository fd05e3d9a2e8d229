"""`project-export export`: one project, without Airflow."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from project_export import shell
from project_export.cli.exits import OMISSIONS, errors
from project_export.cli.options import Edition, GitlabRevision, GitlabVersion, given_parameters, settings
from project_export.cli.progress import progress
from project_export.store.uris import shown


def export(
    project_id: Annotated[int, typer.Option(help="The project's id in the source.")],
    source: Annotated[str, typer.Option(help="DSN of the database to read: libpq URI or keyword string.")],
    out: Annotated[Path, typer.Option(help="Folder for the archive, its parts and the ledger.")],
    relations: Annotated[str, typer.Option(help="Names of relations, separated by commas; all when empty.")] = "",
    jobs: Annotated[int, typer.Option(min=1, help="Maximum number of processes.")] = os.cpu_count() or 1,
    description: Annotated[str, typer.Option(help="Same as --parameter description=TEXT.")] = "",
    parameter: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A parameter that the tree declares; can be repeated."),
    ] = None,
    consistency: Annotated[
        str, typer.Option(help="project: one snapshot for all relations; relation: one for each.")
    ] = "",
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Cancel the rest once a relation has failed.")] = False,
    mode: Annotated[str, typer.Option(help="full, or changes: only what changed in a window.")] = "full",
    window_start: Annotated[str, typer.Option(help="Start of the window, such as 2026-11-27T00:00:00Z.")] = "",
    window_end: Annotated[str, typer.Option(help="End of the window, which is not part of it.")] = "",
    ledger_dsn: Annotated[str, typer.Option("--ledger", help="DSN of a ledger; a SQLite file in OUT when empty.")] = "",
    gitlab_version: GitlabVersion = "",
    gitlab_revision: GitlabRevision = "",
    edition: Edition = "",
    anew: Annotated[bool, typer.Option("--anew", help="Start from scratch; do not resume.")] = False,
) -> None:
    """Export one project, without Airflow. The last line is the path of the archive.

    The same command resumes an export that was interrupted or failed. Exit code 3 means exported with omissions: the
    archive lacks data that the source has, or may have.
    """
    params = {
        "project_id": project_id,
        "relations": [name.strip() for name in relations.split(",") if name.strip()],
        "consistency": consistency or None,
        "fail_fast": fail_fast,
        "mode": mode,
        "window_start": window_start or None,
        "window_end": window_end or None,
        "after_export": "none",  # the shell itself shows how it ends
    }
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that it ends its processes, as with Ctrl-C
    with errors(), progress() as show:
        given = settings(gitlab_version=gitlab_version, gitlab_revision=gitlab_revision, edition=edition)
        params |= given_parameters(
            [*(parameter or ()), *([f"description={description}"] if description else [])], given
        )
        merged = shell.export(shell.Locations(source, out, ledger_dsn), params, given, jobs, show, anew=anew)
    print(f"{merged.records} records, {merged.bytes} bytes")
    for omission in merged.omissions:
        print(f"omission: {omission}", file=sys.stderr)
    print(f"archive: {shown(merged.uri)}")
    raise typer.Exit(OMISSIONS if merged.omissions else 0)
