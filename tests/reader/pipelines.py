"""Pipelines and stages (ci/pipeline.rb, ci/stage.rb)."""

from __future__ import annotations

from tests.reader.data import names
from tests.reader.database import Database, Row

DANGLING_SOURCES = {9, *range(12, 20)}
EXTERNAL = 6
"""enums/ci/pipeline.rb"""
SHA256 = 1
"""project_repositories.object_format"""


def of_project(db: Database, project: Row) -> list[Row]:
    """project.rb#ci_pipelines: only external ones if builds are disabled, else all except dangling ones."""
    feature = db.one("project_features", project_id=project["id"])
    enabled = feature is not None and (feature["builds_access_level"] is None or feature["builds_access_level"] > 0)
    wanted = names()["ci_source"].keys() - DANGLING_SOURCES if enabled else {EXTERNAL}
    return [row for row in db.where("p_ci_pipelines", project_id=project["id"]) if row["source"] in wanted]


def before_sha(db: Database, row: Row, key: str) -> str:
    """NULL becomes the blank ref, which is as long as the repository's hashes."""
    if row[key] is not None:
        return row[key]
    known = db.where("project_repositories", project_id=row["project_id"]) if db.has("project_repositories") else []
    return "0" * (64 if any(repository.get("object_format") == SHA256 for repository in known) else 40)


def stage_status(_: Database, row: Row, key: str) -> str:
    """after_initialize replaces NULL and unknown codes."""
    return names()["ci_stage_status"].get(row[key], "created")
