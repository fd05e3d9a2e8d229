"""The trigger form, and what else a DAG file may know while it is parsed: no driver, no settings, no network.

Settings are read here from the environment only, by the names that `Settings` documents, since importing pydantic-
settings costs each parse more than all the rest.
"""

from __future__ import annotations

import os
from typing import Any

from airflow.sdk import Param

from project_export.tree import DEFAULT, Parameter, load
from project_export.variables import variable


def setting(name: str, default: str) -> str:
    """Return PROJECT_EXPORT_<NAME> of the environment that parses the DAG file."""
    return os.environ.get(variable(name)) or default


def export_params() -> dict[str, Param]:
    """Return the params of one export, those that the tree declares among them.

    exclusiveMinimum, since the form silently turns what is under a `minimum` into it and would export project 1.
    """
    tree = load(setting("tree", DEFAULT))
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
            type=["null", "array"],
            items={"type": "string"},
            uniqueItems=True,
            examples=list(tree.names),
            title="Relations",
            description="What to export. Leave it empty for everything; the project's own settings always come along.",
        ),
        **{name: _param(declared) for name, declared in tree.parameters.items()},
        "consistency": Param(
            setting("consistency", "project"),
            enum=["project", "relation"],
            values_display={
                "project": "project: all relations as of one moment",
                "relation": "relation: each relation as of its own moment",
            },
            title="Consistency",
            description=(
                "One moment for all needs a running triggerer and keeps a transaction open while the export runs, and "
                "for a while after a failure: cleared within it, only what failed is exported again, later everything. "
                "With a moment per relation, always only what failed."
            ),
        ),
        "if_running": Param(
            "fail",
            enum=["fail", "join", "wait"],
            values_display={
                "fail": "fail: this run fails and names the other",
                "join": "join: this run ends at once, with the other's job",
                "wait": "wait: this run begins when the other has ended",
            },
            title="If the project is being exported already",
            description="A project is exported by one run at a time.",
        ),
        "fail_fast": Param(
            False,
            type="boolean",
            title="Fail fast",
            description=(
                "The first relation that fails for good cancels all others. Otherwise they are exported, so that one "
                "run names everything that is wrong, and clearing it exports only what failed."
            ),
        ),
        "after_export": Param(
            "notify",
            enum=["notify", "none", "upload"],
            values_display={
                "notify": "notify: tell how it ended",
                "none": "none: tell nobody",
                "upload": "upload: send the archive to the URL below, tell only a failure",
            },
            title="After the export",
            description="Who is told, and by what, is in the settings of the installation.",
            section="After the export",
        ),
        "upload_url": Param(
            None,
            type=["null", "string"],
            maxLength=8000,
            title="Upload to",
            description=(
                "http:// or https:// URL at a public address. Airflow keeps it with the run, secrets in it included: "
                "prefer one that is signed and expires."
            ),
            section="After the export",
        ),
        "upload_http_method": Param(
            "PUT",
            enum=["PUT", "POST"],
            title="Upload by",
            description="What the receiver wants; signed URLs of object stores want PUT.",
            section="After the export",
        ),
    }


def _param(declared: Parameter) -> Param:
    """Return the param of one that the tree declares."""
    longest: dict[str, Any] = {} if declared.longest is None else {"maxLength": declared.longest}
    return Param(
        declared.default,
        type=["null", declared.type],
        title=declared.title or declared.name,
        description=declared.description or "Replaces values of the source in the archive.",
        **longest,
    )
