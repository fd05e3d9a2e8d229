"""`project-export sample`: a database with GitLab's schema, for trials."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import psycopg
import typer

from project_export.cli.exits import errors
from project_export.cli.options import Dsn
from project_export.sample import layouts
from project_export.sample.generate import COMPLETE
from project_export.sample.generate import generate as generate_projects
from project_export.sample.load import load as load_archive
from project_export.sample.schema import create as create_schema

app = typer.Typer(no_args_is_help=True, help="A database with GitLab's schema, for trials.")


@app.command("schema")
def make_schema(
    dsn: Dsn,
    layout: Annotated[
        str, typer.Option(help=f"GitLab version whose tables they are: {', '.join(layouts.names())}.")
    ] = layouts.DEFAULT,
) -> None:
    """Create the tables of GitLab that an export reads, in an empty database."""
    with errors(), psycopg.connect(dsn) as connection:
        create_schema(connection, layout)
    print("the schema is there")


@app.command()
def generate(
    dsn: Dsn,
    projects: Annotated[int, typer.Option(min=1, help="Number of projects; their ids start at 1.")] = 2,
    scale: Annotated[float, typer.Option(min=0.01, help="1 means about 3,000 records in project 1.")] = 1.0,
    hostile: Annotated[
        bool, typer.Option("--hostile", help="Add rows that GitLab would not write but a database may contain.")
    ] = False,
    complete: Annotated[
        bool,
        typer.Option(
            "--complete",
            help="Instead of PROJECTS and SCALE: the smallest project in which every key has a value, a few of them"
            " in rows that GitLab would not write.",
        ),
    ] = False,
    files: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Write what is not in the database as well: repositories/, uploads/ and lfs-objects/ in this folder,"
            " which must be new, empty, or made by this command; then they are replaced.",
        ),
    ] = None,
    files_bytes: Annotated[
        int,
        typer.Option(
            metavar="BYTES",
            min=0,
            help="With --files: the size of a large upload, LFS object and file in a repository; 0: none.",
        ),
    ] = 0,
) -> None:
    """Fill the schema, of any layout, with projects of realistic shape, the same ones each time.

    GitLab could have written all rows, except those of --hostile and some of --complete. With --files, also write the
    repositories, uploads and LFS objects that the rows name.
    """
    if complete:
        projects, scale, *_ = COMPLETE
    with errors(), psycopg.connect(dsn) as connection:
        for project in generate_projects(
            connection, projects, scale, hostile=hostile, complete=complete, files=files, large_bytes=files_bytes
        ):
            print(f"project {project.id}: {sum(project.records.values())} top-level records")


@app.command()
def load(
    archive: Annotated[Path, typer.Argument(help="An archive that GitLab wrote.")],
    dsn: Dsn,
    files: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Also unpack its bundles and files into repositories/, uploads/ and lfs-objects/ in this folder, which"
            " must be new, empty, or made by `sample`.",
        ),
    ] = None,
) -> None:
    """Load an existing GitLab archive into the schema. The last line names the new project."""
    with errors(), psycopg.connect(dsn) as connection:
        project_id = load_archive(connection, archive, files=files)
    print(f"project: {project_id}")
