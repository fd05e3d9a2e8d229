"""The trigger form, and what else a DAG file may know while it is parsed: no driver, no settings, no network.

Settings are read here from the environment only, by the names that `Settings` documents, since importing pydantic-
settings costs each parse more than all the rest.
"""

from __future__ import annotations

import os

from airflow.sdk import Param

from project_export.tree import load


def setting(name: str, default: str) -> str:
    """Return PROJECT_EXPORT_<NAME> of the environment that parses the DAG file."""
    return os.environ.get(f"PROJECT_EXPORT_{name.upper()}") or default


def export_params() -> dict[str, Param]:
    """Return the params of one export.

    exclusiveMinimum, since the form silently turns what is under a `minimum` into it and would export project 1.
    """
    return {
        "project_id": Param(
            type="integer",
            exclusiveMinimum=0,
            exclusiveMaximum=2**63,
            title="Project id",
            description="Number of the project in the source database, as GitLab shows it on the project's page.",
        ),
        "relations": Param(
            [],
            type="array",
            items={"type": "string"},
            uniqueItems=True,
            examples=list(load(setting("tree", "gitlab")).names),
            title="Relations",
            description="What to export. Leave it empty for everything; the project's own settings always come along.",
        ),
        "description": Param(
            None,
            type=["null", "string"],
            maxLength=2000,
            title="Description",
            description="Replaces the project's description in the archive. Empty: the project keeps its own.",
        ),
        "consistency": Param(
            setting("consistency", "project"),
            enum=["project", "relation"],
            values_display={
                "project": "project: all relations as of one moment",
                "relation": "relation: each relation as of its own moment",
            },
            title="Consistency",
            description=(
                "One moment for all needs a running triggerer and keeps a transaction open while the export runs. "
                "With a moment per relation, a retry repeats only what failed."
            ),
        ),
    }
