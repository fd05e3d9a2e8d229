"""`project-export check`: everything that an export needs, before one starts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from textwrap import indent
from typing import Annotated, Any

import psycopg
import typer

from project_export import libpq
from project_export.airflow import health
from project_export.cli.exits import errors
from project_export.cli.options import Edition, GitlabRevision, GitlabVersion, settings
from project_export.errors import BadRequest
from project_export.ledger import Ledger, make_engine
from project_export.settings import Settings
from project_export.shell import source_name
from project_export.steps import Context, Finding, preflight
from project_export.steps.preflight import LEDGER, OF_SOURCE, STORE
from project_export.store.uris import place, uri_of, without_connection


def check(
    source: Annotated[str, typer.Option(help="DSN of the database to read: libpq URI or keyword string.")] = "",
    ledger: Annotated[str, typer.Option("--ledger", help="DSN of the ledger; the one in OUT when empty.")] = "",
    out: Annotated[Path | None, typer.Option(help="Folder for exports; the setting of the store when empty.")] = None,
    project_id: Annotated[int, typer.Option(min=0, help="A project that must exist.")] = 0,
    airflow: Annotated[
        bool, typer.Option("--airflow", help="Ask this environment's Airflow for pool, scheduler and triggerer.")
    ] = False,
    gitlab_version: GitlabVersion = "",
    gitlab_revision: GitlabRevision = "",
    edition: Edition = "",
) -> None:
    """Check everything that an export needs: settings, ledger, store, source, privileges, project.

    Prints one line for each check, and for each problem what to do. Exit code 1 if there is a problem.
    """
    with errors():
        given = settings(gitlab_version=gitlab_version, gitlab_revision=gitlab_revision, edition=edition)
        wrong = 0
        for finding in _findings(given, source, ledger, out, project_id or None, airflow):
            mark = "WRONG" if finding.error else "-" if finding.needs else "note" if finding.warning else "ok"
            print(indent(str(finding), " " * 6).replace(" " * 6, f"{mark:<6}", 1), flush=True)
            wrong += finding.error is not None
    print(f"{wrong} problem(s) would prevent an export" if wrong else "everything is there")
    raise typer.Exit(1 if wrong else 0)


def _findings(
    given: Settings, source: str, ledger: str, out: Path | None, project_id: int | None, airflow: bool
) -> Iterator[Finding]:
    """Yield what the steps find, then what Airflow says. Raises BadRequest for an invalid DSN or store."""
    store = given.store if out is None else uri_of(out.resolve())
    given = given.model_copy(update={"store": store and _nearest(store)})
    without: set[str] = set()
    if airflow and without_connection(store)[1]:
        without.add(STORE)
    if not ledger:
        without.add(LEDGER)
        if out is None and not airflow:
            yield Finding(
                LEDGER, BadRequest("no ledger was given: use --ledger DSN, or --out DIR for the one in that folder")
            )
    if source:
        source_name(source)  # otherwise libpq's message might show part of the password
    elif airflow:
        without.update(OF_SOURCE)
    kept = Ledger(make_engine(ledger or "sqlite://"))
    yield from preflight(Context(given, kept, "check", lambda: _connect(source)), project_id, without)
    if airflow:
        yield from health.findings(given.pool)


def _nearest(store: str) -> str:
    """Return the store, or the nearest folder above it that exists. Raises BadRequest."""
    found = place(store)
    if isinstance(found, str):
        return found
    return uri_of(next(folder for folder in (found, *found.parents) if folder.exists()))


def _connect(source: str) -> psycopg.Connection[Any]:
    if not source:
        raise BadRequest("no source was given: use --source DSN")
    return libpq.connect(source)
