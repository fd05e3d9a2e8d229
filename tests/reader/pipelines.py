"""Pipelines, stages and jobs (ci/pipeline.rb, ci/stage.rb, commit_status.rb and its three classes)."""

from __future__ import annotations

from typing import Any

from tests.reader.database import Database, Record, Row
from tests.reader.enums import (
    CONFIG_SOURCE,
    DANGLING_SOURCES,
    EXTERNAL,
    JOB_FAILURE,
    PIPELINE_FAILURE,
    SCHEDULING_TYPE,
    SOURCE,
    STAGE_STATUS,
)
from tests.reader.merge_requests import EXTERNAL_PULL_REQUEST, MERGE_REQUEST_COLUMNS
from tests.reader.shapes import Getter, Shape, column, many, named, null_is, null_last, one, record

SHA256 = 1
"""project_repositories.object_format"""


def ci_pipelines(db: Database, project: Row) -> list[Record]:
    """project.rb#ci_pipelines: where builds are disabled only external ones, else all but the dangling ones."""
    feature = db.one("project_features", project_id=project["id"])
    enabled = feature is not None and (feature["builds_access_level"] is None or feature["builds_access_level"] > 0)
    wanted = SOURCE.keys() - DANGLING_SOURCES if enabled else {EXTERNAL}
    rows = db.where("p_ci_pipelines", project_id=project["id"])
    return [record(db, row, PIPELINE) for row in rows if row["source"] in wanted]


def before_sha(db: Database, row: Row, key: str) -> str:
    """NULL is the blank ref, whose length is that of the repository's hashes."""
    if row[key] is not None:
        return row[key]
    known = db.where("project_repositories", project_id=row["project_id"]) if db.has("project_repositories") else []
    return "0" * (64 if any(repository.get("object_format") == SHA256 for repository in known) else 40)


def stage_status(_: Database, row: Row, key: str) -> str:
    """after_initialize fills in what is NULL or unknown."""
    return STAGE_STATUS.get(row[key], "created")


JOB_COLUMNS = """
    status finished_at created_at updated_at started_at coverage name allow_failure stage_idx tag ref type target_url
    description erased_at artifacts_expire_at environment queued_at lock_version coverage_regex retried protected
    failure_reason scheduled_at scheduling_type commit_id project_id user_id
"""
JOB_VALUES: dict[str, Getter] = {
    "lock_version": null_is(0),
    "failure_reason": named(JOB_FAILURE),
    "scheduling_type": named(SCHEDULING_TYPE),
}
# ci/build.rb: serializable_hash adds `when`, although import_export.yml leaves it out
BUILD = Shape(JOB_COLUMNS, JOB_VALUES, last={"when": column("when")})
GENERIC_COMMIT_STATUS = Shape(JOB_COLUMNS, JOB_VALUES)


def nothing(_: Database, __: Row, ___: str) -> None:
    """ci/bridge.rb: an empty getter."""


BRIDGE = Shape(JOB_COLUMNS, {**JOB_VALUES, "artifacts_expire_at": nothing})


def jobs(shape: Shape, kind: str) -> Any:
    """Return a getter of a stage's jobs of one class; one without a stage appears nowhere."""
    return many("p_ci_builds", shape, stage_id="id", partition_id="partition_id", type=f"'{kind}'")


STAGE = Shape(
    "project_id created_at updated_at name status lock_version position",
    {"status": stage_status, "lock_version": null_is(0)},
    {
        "builds": jobs(BUILD, "Ci::Build"),
        "generic_commit_statuses": jobs(GENERIC_COMMIT_STATUS, "GenericCommitStatus"),
        "bridges": jobs(BRIDGE, "Ci::Bridge"),
    },
)
PIPELINE = Shape(
    """
    ref sha before_sha created_at updated_at tag yaml_errors committed_at project_id status started_at finished_at
    duration user_id lock_version source config_source protected failure_reason iid source_sha target_sha
    """,
    {
        "before_sha": before_sha,
        "lock_version": null_is(0),
        "source": named(SOURCE),
        "config_source": named(CONFIG_SOURCE),
        "failure_reason": named(PIPELINE_FAILURE),
    },
    {
        "stages": many("p_ci_stages", STAGE, null_last("position"), pipeline_id="id", partition_id="partition_id"),
        "external_pull_request": one("external_pull_requests", EXTERNAL_PULL_REQUEST, id="external_pull_request_id"),
        "merge_request": one("merge_requests", MERGE_REQUEST_COLUMNS, id="merge_request_id"),
        "pipeline_metadata": one(
            "ci_pipeline_metadata", Shape("project_id name"), pipeline_id="id", partition_id="partition_id"
        ),
    },
)
