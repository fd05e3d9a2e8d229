"""Options that several commands take; some of them are settings as well."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import psycopg
import typer

from project_export.errors import BadRequest
from project_export.settings import Settings
from project_export.shell import kept_ledger
from project_export.steps import Context
from project_export.store.uris import uri_of
from project_export.tree import load
from project_export.tree.parameters import RESERVED

GitlabVersion = Annotated[
    str, typer.Option("--gitlab-version", help="Version of the GitLab whose database it is; the setting when empty.")
]
GitlabRevision = Annotated[
    str, typer.Option("--gitlab-revision", help="Git revision of that GitLab; the setting when empty.")
]
Dsn = Annotated[str, typer.Option("--dsn", help="libpq URI or keyword string of the database.")]
Edition = Annotated[str, typer.Option("--edition", help="Edition of that GitLab; the setting when empty.")]


def settings(**given: str) -> Settings:
    """Return the settings of the environment, with the non-empty values given instead. Raises ValidationError."""
    return Settings().model_copy(update={name: value for name, value in given.items() if value})


def stored_exports(out: Path | None, ledger: str) -> Context:
    """Return the steps' context for existing exports: their ledger and their store, but no source.

    out: the folder of the exports; without it, the setting names the store. ledger: the DSN of the ledger; without it,
    the ledger in the folder is used. Raises BadRequest, LedgerOutdated, ValidationError.
    """
    given = settings()
    if out is not None:
        given = given.model_copy(update={"store": uri_of(out.resolve())})
    return Context(given, kept_ledger(out, ledger), "", _no_source)


def _no_source() -> psycopg.Connection[Any]:
    raise BadRequest("this command does not read a source")


def given_parameters(texts: Iterable[str], settings: Settings) -> dict[str, object]:
    """Return parameters by name from NAME=VALUE texts, with values of the types that the tree declares.

    Unknown names are kept: the request refuses them. Raises BadRequest, TreeError.
    """
    declared = load(settings.tree, settings.edition).parameters
    found: dict[str, object] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise BadRequest(f"a parameter must be NAME=VALUE; got {text!r}")
        if name in RESERVED:
            raise BadRequest(f"parameter {name} is not declared by the tree; it has its own option")
        if name in found:
            raise BadRequest(f"parameter {name} is given twice")
        found[name] = declared[name].read(value) if name in declared else value
    return found
