"""Records of older GitLab versions and of the paid edition → the form that today's tree describes.

Each function moves the values of a record's old keys to today's keys, in place.
"""

from __future__ import annotations

from collections.abc import Callable

from project_export.sample.load.unpack import Record

_JOBS = {"Ci::Build": "builds", "GenericCommitStatus": "generic_commit_statuses", "Ci::Bridge": "bridges"}


def work_item_type(record: Record) -> None:
    """issues.issue_type (until 16) and the name of a type (from 19) → the base type."""
    found = record.get("work_item_type")
    if found is None and "issue_type" in record:
        record["work_item_type"] = {"base_type": record.pop("issue_type")}
    elif isinstance(found, dict) and "base_type" not in found and isinstance(found.get("name"), str):
        record["work_item_type"] = {"base_type": found["name"].lower().replace(" ", "_")}


def jobs_by_type(record: Record) -> None:
    """ci_pipelines.stages.statuses (until 13) → builds, generic_commit_statuses and bridges, by their type."""
    statuses = record.get("statuses")
    if not isinstance(statuses, list) or any(job.get("type") not in _JOBS for job in statuses):
        return
    for job in record.pop("statuses"):
        record.setdefault(_JOBS[job["type"]], []).append(job)


def commit_people(record: Record) -> None:
    """merge_request_diff_commits.author_name and author_email (until 13) → commit_author; the committer likewise."""
    for old, new in (("author", "commit_author"), ("committer", "committer")):
        name, email = record.pop(f"{old}_name", None), record.pop(f"{old}_email", None)
        if new not in record and (name is not None or email is not None):
            record[new] = {"name": name, "email": email}


PAID_NAMES = {
    "health_status": {"on_track": 1, "needs_attention": 2, "at_risk": 3},
    "restrict_pipeline_cancellation_role": {"developer": 0, "maintainer": 1, "no_one": 2},
}
"""By key: names that the paid edition exports instead of the free one's codes."""


def paid_names(record: Record) -> None:
    """Names that only the paid edition has → their codes."""
    for key, codes in PAID_NAMES.items():
        if isinstance(record.get(key), str):
            record[key] = codes.get(record[key], record[key])


REPAIRS: dict[str, tuple[Callable[[Record], None], ...]] = {
    "issues": (work_item_type, paid_names),
    "p_ci_stages": (jobs_by_type,),
    "merge_request_diff_commits": (commit_people,),
    "project_ci_cd_settings": (paid_names,),
}
"""By table."""
