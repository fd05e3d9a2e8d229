"""The trigger form, and what else a DAG file may use while it is parsed: no driver, no `Settings`, no network.

Here settings come from the environment only, under the names that `Settings` documents: importing pydantic-settings
would cost each parse more than everything else together.
"""

from __future__ import annotations

import os
from typing import Any

from airflow.sdk import Param

from project_export.tree import DEFAULT, Parameter, load
from project_export.variables import variable

_OF_ONE = ("project_id", "if_running", "window_start", "window_end", "after_export", "upload_url", "upload_http_method")
"""The params of an export that differ between projects or days, or that are not for many projects at once."""


def setting(name: str, default: str) -> str:
    """Return PROJECT_EXPORT_<NAME> from the environment in which the DAG file is parsed."""
    return os.environ.get(variable(name)) or default


def all_sources() -> list[str]:
    """Return the connection ids of all sources, the default one first; see `sources.Sources`."""
    others = (name.strip() for name in setting("sources", "").split(","))
    return list(dict.fromkeys((setting("source_conn_id", "project_export_source"), *filter(None, others))))


def export_params() -> dict[str, Param]:
    """Return the params of one export, those that the sources' trees declare among them.

    exclusiveMinimum, because the form silently replaces a value below a `minimum` by the minimum: it would export
    project 1.
    """
    sources = all_sources()
    trees = [load(os.environ.get(variable("tree", source)) or setting("tree", DEFAULT)) for source in sources]
    relations = dict.fromkeys(name for tree in trees for name in tree.exported)
    declared = {name: one for tree in reversed(trees) for name, one in tree.parameters.items()}
    return {
        **({"source": _source(sources)} if len(sources) > 1 else {}),
        "project_id": Param(
            type="integer",
            exclusiveMinimum=0,
            exclusiveMaximum=2**63,
            title="Project id",
            description="Id of the project in the source database, as GitLab shows it on the project's page.",
        ),
        "relations": Param(
            [],
            type=["null", "array"],
            items={"type": "string"},
            uniqueItems=True,
            examples=list(relations),
            title="Relations",
            description="What to export. Empty: everything; the project's own settings are always included.",
        ),
        **{name: _param(one) for name, one in declared.items()},
        "consistency": Param(
            setting("consistency", "project"),
            enum=["project", "relation"],
            values_display={
                "project": "project: one snapshot for all relations",
                "relation": "relation: a snapshot for each relation",
            },
            title="Consistency",
            description=(
                "One snapshot for all relations needs a running triggerer, and keeps a transaction open during the "
                "export and for a while after a failure. Within that time, clearing the failed tasks exports only what "
                "failed; later it exports everything again. With a snapshot for each relation, clearing always exports "
                "only what failed."
            ),
        ),
        "if_running": Param(
            "fail",
            enum=["fail", "join", "wait"],
            values_display={
                "fail": "fail: this run fails and names the other",
                "join": "join: this run ends at once and names the job of the other",
                "wait": "wait: this run starts when the other has ended",
            },
            title="If the project is being exported already",
            description="Only one run at a time can export a project.",
        ),
        "fail_fast": Param(
            False,
            type="boolean",
            title="Fail fast",
            description=(
                "The first relation that fails for good cancels all others. If this is off, the others are exported: "
                "one run then reports everything that is wrong, and clearing it exports only what failed."
            ),
        ),
        "mode": Param(
            "full",
            enum=["full", "changes"],
            values_display={
                "full": "full: the whole project",
                "changes": "changes: the records that changed in a window of time",
            },
            title="Mode",
            description="An archive of changes complements an earlier archive of the project; it replaces none.",
            section="Window",
        ),
        "window_start": _time("Start of the window", "Records that changed at this time or later are exported."),
        "window_end": _time("End of the window", "Records that changed before this time are exported."),
        "after_export": Param(
            "notify",
            enum=["notify", "none", "upload"],
            values_display={
                "notify": "notify: send a notice of success or failure",
                "none": "none: send no notice",
                "upload": "upload: send the archive to the URL below, and a notice only of a failure",
            },
            title="After the export",
            description="The settings of this installation say who gets the notice, by mail or webhook.",
            section="After the export",
        ),
        "upload_url": Param(
            None,
            type=["null", "string"],
            maxLength=8000,
            title="Upload to",
            description=(
                "http:// or https:// URL with a public address. Airflow stores it with the run, including any secrets "
                "in it, so prefer a signed URL that expires."
            ),
            section="After the export",
        ),
        "upload_http_method": Param(
            "PUT",
            enum=["PUT", "POST"],
            title="Upload by",
            description="HTTP method of the upload. Signed URLs of object stores need PUT.",
            section="After the export",
        ),
    }


def _source(sources: list[str]) -> Param:
    return Param(
        sources[0],
        enum=sources,
        title="Source",
        description="Connection id of the database that the project is in.",
    )


def fleet_params() -> dict[str, Param]:
    """Return the params of an export of many projects, all with defaults, since a schedule gives none.

    They include those of one export that are the same for all projects.
    """
    every = {name: param for name, param in export_params().items() if name not in _OF_ONE}
    return {
        "projects": Param(
            [],
            type=["null", "array"],
            items={"anyOf": [{"type": "string"}, {"type": "integer"}]},  # with one `type`, the form would ask for JSON
            title="Projects",
            description=(
                "One per line: an id, a path, group/* (all projects in a group and its subgroups), or active (those "
                "with activity since the start of the run's interval). Empty: those of PROJECT_EXPORT_PROJECTS."
            ),
        ),
        "again": Param(
            "failed",
            enum=["failed", "all"],
            values_display={
                "failed": "failed: only what this run has not exported yet",
                "all": "all: what this run has exported, too",
            },
            title="When this run is repeated, export",
            description="For a run that is cleared, or processed again by a backfill.",
        ),
        **every,
    }


def _time(title: str, description: str) -> Param:
    return Param(
        None,
        type=["null", "string"],
        format="date-time",
        title=title,
        description=f"{description} For the mode changes only.",
        section="Window",
    )


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
