"""Options that several commands take; some of them are settings as well."""

from __future__ import annotations

from typing import Annotated

import typer

from project_export.settings import Settings

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
