"""`project-export`: the same verbs from a shell.

Exit codes: 0 done, 1 failed, 2 wrong use, 130 interrupted, 143 terminated.
"""

from __future__ import annotations

import os
import signal
import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated

import psycopg
import typer

from project_export import cli_check, cli_dags, cli_plan, cli_prune, cli_status, cli_tree, cli_verify, shell
from project_export import ledger as ledgers
from project_export.cli_errors import OMISSIONS, errors
from project_export.cli_progress import progress
from project_export.cli_settings import Edition, GitlabRevision, GitlabVersion, settings
from project_export.drafts import local_of
from project_export.sample import layouts
from project_export.sample.generate import COMPLETE
from project_export.sample.generate import generate as generate_projects
from project_export.sample.load import load as load_archive
from project_export.sample.schema import create as create_schema

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
ledger = typer.Typer(no_args_is_help=True, help="The ledger's tables.")
sample = typer.Typer(no_args_is_help=True, help="A database with GitLab's schema, to try things on.")
app.add_typer(ledger, name="ledger")
app.add_typer(sample, name="sample")
app.add_typer(cli_tree.app, name="tree")
app.command()(cli_check.check)
app.command()(cli_dags.dags)
app.command()(cli_plan.plan)
app.command()(cli_prune.prune)
app.command()(cli_status.status)
app.command()(cli_verify.verify)

Dsn = Annotated[str, typer.Option("--dsn", help="libpq URI or keyword string of the database.")]


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
    """Take what comes before a command; the help is the module's."""


@app.command()
def export(
    project_id: Annotated[int, typer.Option(help="The project's id in the source.")],
    source: Annotated[str, typer.Option(help="DSN of the database to read: libpq URI or keyword string.")],
    out: Annotated[Path, typer.Option(help="Folder for the archive, its parts and the ledger.")],
    relations: Annotated[str, typer.Option(help="Names of relations, separated by commas; all when empty.")] = "",
    jobs: Annotated[int, typer.Option(min=1, help="Processes at the most.")] = os.cpu_count() or 1,
    description: Annotated[str, typer.Option(help="Replaces the project's description in the archive.")] = "",
    consistency: Annotated[str, typer.Option(help="project: one snapshot for all; relation: one for each.")] = "",
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Cancel all when a relation has failed.")] = False,
    ledger_dsn: Annotated[str, typer.Option("--ledger", help="DSN of a ledger; a SQLite file in OUT when empty.")] = "",
    gitlab_version: GitlabVersion = "",
    gitlab_revision: GitlabRevision = "",
    edition: Edition = "",
    anew: Annotated[bool, typer.Option("--anew", help="Begin anew, also where the last export did not end.")] = False,
) -> None:
    """Export one project, without Airflow. The last line says where the archive is.

    The same command continues an export that was interrupted or failed. Exit code 3 when it was exported with
    omissions: the source has, or may have, what the archive lacks.
    """
    params = {
        "project_id": project_id,
        "relations": [name.strip() for name in relations.split(",") if name.strip()],
        "description": description or None,
        "consistency": consistency or None,
        "fail_fast": fail_fast,
        "after_export": "none",  # whoever waits at the shell sees how it ends
    }
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that it ends its processes, as after Ctrl-C
    with errors(), progress() as show:
        given = settings(gitlab_version=gitlab_version, gitlab_revision=gitlab_revision, edition=edition)
        merged = shell.export(shell.Place(source, out, ledger_dsn), params, given, jobs, show, anew=anew)
    print(f"{merged.records} records, {merged.bytes} bytes")
    for omission in merged.omissions:
        print(f"omission: {omission}", file=sys.stderr)
    print(f"archive: {local_of(merged.uri)}")
    raise typer.Exit(OMISSIONS if merged.omissions else 0)


@ledger.command()
def upgrade(dsn: Dsn) -> None:
    """Create the ledger's tables, or bring them to this version; harmless when they are."""
    with errors():
        ledgers.upgrade(ledgers.make_engine(dsn))
    print("the ledger is up to date")


@ledger.command()
def check(dsn: Dsn) -> None:
    """Say whether the ledger's tables are of this version."""
    with errors():
        ledgers.check(ledgers.make_engine(dsn))
    print("the ledger is up to date")


@sample.command("schema")
def make_schema(
    dsn: Dsn,
    layout: Annotated[
        str, typer.Option(help=f"GitLab version whose tables they are: {', '.join(layouts.names())}.")
    ] = layouts.DEFAULT,
) -> None:
    """Create GitLab's tables, as far as an export reads them, in an empty database."""
    with errors(), psycopg.connect(dsn) as connection:
        create_schema(connection, layout)
    print("the schema is there")


@sample.command()
def generate(
    dsn: Dsn,
    projects: Annotated[int, typer.Option(min=1, help="Number of projects; ids from 1.")] = 2,
    scale: Annotated[float, typer.Option(min=0.01, help="1 is about 3,000 records in project 1.")] = 1.0,
    hostile: Annotated[
        bool, typer.Option("--hostile", help="Add what GitLab would not write, and a database may contain.")
    ] = False,
    complete: Annotated[
        bool,
        typer.Option(
            "--complete",
            help="Instead of PROJECTS and SCALE: the smallest project in which every key has a value, a few of them"
            " in rows that GitLab would not write.",
        ),
    ] = False,
) -> None:
    """Fill the schema, of whichever layout, with projects of realistic shape, the same ones each time.

    All rows are such as GitLab writes, unless --hostile or --complete says otherwise.
    """
    if complete:
        projects, scale, *_ = COMPLETE
    with errors(), psycopg.connect(dsn) as connection:
        for project in generate_projects(connection, projects, scale, hostile=hostile, complete=complete):
            print(f"project {project.id}: {sum(project.records.values())} top-level records")


@sample.command()
def load(archive: Annotated[Path, typer.Argument(help="An archive that GitLab wrote.")], dsn: Dsn) -> None:
    """Put an existing GitLab archive into the schema. The last line names the new project."""
    with errors(), psycopg.connect(dsn) as connection:
        project_id = load_archive(connection, archive)
    print(f"project: {project_id}")
