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
    """Return the settings of the environment, and what was given instead of them. Raises ValidationError."""
    return Settings().model_copy(update={name: value for name, value in given.items() if value})


def stored_exports(out: Path | None, ledger: str) -> Context:
    """Return the steps' context on exports that were made: their ledger and their store, but no source.

    out: the folder of the exports, in which their ledger is unless `ledger` is the DSN of another; without it the
    store is the setting's. Raises BadRequest, LedgerOutdated, ValidationError.
    """
    given = settings()
    if out is not None:
        given = given.model_copy(update={"store": uri_of(out.resolve())})
    return Context(given, kept_ledger(out, ledger), "", _no_source)


def _no_source() -> psycopg.Connection[Any]:
    raise BadRequest("this command does not read a source")


def given_parameters(texts: Iterable[str], settings: Settings) -> dict[str, object]:
    """Return the parameters that NAME=VALUE texts give, by name, with values as the tree declares their types.

    Unknown names come too: the request refuses them. Raises BadRequest, TreeError.
    """
    declared = load(settings.tree, settings.edition).parameters
    found: dict[str, object] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise BadRequest(f"a parameter is given as NAME=VALUE, not {text!r}")
        if name in RESERVED:
            raise BadRequest(f"parameter {name} is not one of the tree; it has an option of its own")
        if name in found:
            raise BadRequest(f"parameter {name} is given twice")
        found[name] = declared[name].read(value) if name in declared else value
    return found
