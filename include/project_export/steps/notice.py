"""The notice of how a job ended, and what delivers it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from project_export.errors import listed
from project_export.ledger import Job, Reported
from project_export.ledger.scrub import scrub

# GitLab's subjects: app/mailers/emails/projects.rb, project_was_exported_email and project_was_not_exported_email.
SUBJECTS: Mapping[Reported, str] = {
    "finished": "Project was exported",
    "failed": "Project export error",
    "cancelled": "Project export error",
    "late": "Project export is late",
}
_LINKS: Mapping[Reported, str] = {"finished": "Details and download", "late": "Details"}
WITH_OMISSIONS = "Project was exported with omissions"


@dataclass(frozen=True)
class Notice:
    """A subject and a plain text for people, and facts (JSON values) for programs. None of them contains a secret."""

    outcome: Reported
    subject: str
    text: str
    facts: Mapping[str, Any]

    @classmethod
    def of(cls, job: Job, outcome: Reported, omissions: Sequence[str] = (), page: str | None = None) -> Notice:
        """Return the notice of a job that has ended, or is late.

        omissions: what its archive lacks. page: of jobs, see `Context`.
        """
        errors = list(dict.fromkeys(scrub(str(error)) for error in job.errors))
        title = job.plan.get("project")
        project = f"Project {job.project_id}{f' ({title})' if title else ''} of {job.source}"
        if outcome == "finished":
            lines = [
                f"{project} was exported: {job.records} records, {job.archive_bytes} bytes.",
                f"Archive: {job.archive_uri}",
                f"SHA-256: {job.archive_sha256}",
            ]
            if job.mode == "changes":
                since = f"from {job.window_start} " if job.window_start else ""
                lines.insert(1, f"The archive only has what changed {since}until {job.window_end}.")
            if omissions:
                lines.insert(0, listed("The archive lacks data that the source has, or may have", omissions))
        elif outcome == "late":
            since = job.created_at.isoformat(" ", "seconds")
            lines = [f"{project} has not been exported yet. It was requested at {since}, and is {_doing(job)}."]
        else:
            lines = [listed(f"{project} couldn't be exported. The errors we encountered were", errors)]
        lines.append(f"Run {job.run_id}, requested by {job.requested_by} (job {job.id})")
        url = f"{page}/jobs/{job.id}" if page else None
        if url:
            lines.append(f"{_LINKS.get(outcome, 'Details and retry')}: {url}")
        archive = {
            "uri": job.archive_uri,
            "bytes": job.archive_bytes,
            "sha256": job.archive_sha256,
            "records": job.records,
        }
        facts = {
            "outcome": outcome,
            "job_id": job.id,
            "project_id": job.project_id,
            "source": job.source,
            "run_id": job.run_id,
            "requested_by": job.requested_by,
            "url": url,
            "archive": archive if outcome == "finished" else None,
            "errors": errors,
            "omissions": list(omissions),
        }
        subject = WITH_OMISSIONS if omissions else SUBJECTS[outcome]
        return cls(outcome, subject, scrub("\n".join(lines)), facts)


def _doing(job: Job) -> str:
    return "still being exported" if job.planned else "still queued"


Channel = Callable[[Notice], None]
"""Delivers a notice. Raises DeliveryFailed or DeliveryRefused."""
