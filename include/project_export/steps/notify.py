"""Tell people how a job ended: each outcome once over each channel.

A channel is whatever delivers a notice; which ones there are, whoever makes the context says. Without any, the notice
is logged.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from project_export.errors import DeliveryFailed, DeliveryRefused, listed
from project_export.ledger import Job, Outcome
from project_export.ledger.scrub import scrub

if TYPE_CHECKING:
    from project_export.steps.context import Context

log = logging.getLogger(__name__)

# GitLab's subjects: app/mailers/emails/projects.rb, project_was_exported_email and project_was_not_exported_email.
SUBJECTS: Mapping[Outcome, str] = {
    "finished": "Project was exported",
    "failed": "Project export error",
    "cancelled": "Project export error",
}


@dataclass(frozen=True)
class Notice:
    """What is told: a subject and a plain text for people, facts (JSON values) for programs. None holds a secret."""

    outcome: Outcome
    subject: str
    text: str
    facts: Mapping[str, Any]

    @classmethod
    def of(cls, job: Job, outcome: Outcome) -> Notice:
        """Make the notice of an ended job."""
        errors = list(dict.fromkeys(scrub(str(error)) for error in job.errors))
        project = f"Project {job.project_id} of {job.source}"
        if outcome == "finished":
            lines = [
                f"{project} was exported: {job.records} records, {job.archive_bytes} bytes.",
                f"Archive: {job.archive_uri}",
                f"SHA-256: {job.archive_sha256}",
            ]
        else:
            lines = [listed(f"{project} couldn't be exported. The errors we encountered were", errors)]
        run = f"Run {job.run_id}, asked for by {job.requested_by} (job {job.id})"
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
            "archive": archive if outcome == "finished" else None,
            "errors": errors,
        }
        return cls(outcome, SUBJECTS[outcome], scrub("\n".join([*lines, run])), facts)


Channel = Callable[[Notice], None]
"""Delivers a notice. Raises DeliveryFailed or DeliveryRefused when it could not."""


def notify(ctx: Context, job_id: int, outcome: Outcome) -> list[str]:
    """Tell an outcome over every channel that has not told it yet, and return those that told it now.

    after_export=none asks for silence, upload for no notice of success (as GitLab). A notice that could not be
    delivered is logged as an error and may be told later; it never fails the caller. A process that dies in the middle
    of a delivery has told it or not, and nobody tells it again.
    """
    job = ctx.ledger.job(job_id)
    asked = job.params.get("after_export", "notify")
    if asked == "none" or (asked == "upload" and outcome == "finished"):
        return []
    notice = Notice.of(job, outcome)
    told = []
    for name, deliver in (ctx.channels or {"log": _log}).items():
        if not ctx.ledger.take_notice(job_id, outcome, name):
            continue
        try:
            deliver(notice)
        except (DeliveryFailed, DeliveryRefused) as error:
            ctx.ledger.release_notice(job_id, outcome, name)
            log.error("job %d: %r was not told by %s: %s", job_id, notice.subject, name, scrub(str(error)))
        except BaseException:
            ctx.ledger.release_notice(job_id, outcome, name)
            raise
        else:
            told.append(name)
            log.info("job %d: told by %s: %s", job_id, name, notice.subject)
    return told


def _log(notice: Notice) -> None:
    log.info("%s\n%s", notice.subject, notice.text)
