"""Notify people of how a job ended: each outcome once over each channel, until the job is reopened; once if it is late.

A channel delivers notices; the context says which ones exist. Without any, the notice is logged.
"""

from __future__ import annotations

import logging

from project_export.errors import DeliveryFailed, DeliveryRefused, foreseen
from project_export.ledger import Reported
from project_export.ledger.scrub import scrub
from project_export.ledger.states import PENDING
from project_export.steps.context import Context
from project_export.steps.notice import Notice

log = logging.getLogger(__name__)


def notify(ctx: Context, job_id: int, outcome: Reported) -> list[str]:
    """Send the notice of an outcome, or that a job is late, over every channel that has not sent it yet.

    Return the names of these channels.

    With after_export=none nothing is sent, with after_export=upload no notice of success (as in GitLab). A notice that
    cannot be delivered, for whatever reason, is logged as an error and may be sent later; it never fails the caller.
    If the process dies during a delivery, the notice may or may not have been sent; it is not sent again.
    """
    job = ctx.ledger.queries.job(job_id)
    asked = job.params.get("after_export", "notify")
    if asked == "none" or (asked == "upload" and outcome == "finished"):
        return []
    if outcome == "late" and job.state not in PENDING:
        return []
    omissions = ctx.ledger.queries.omissions(job_id) if outcome == "finished" else ()
    notice = Notice.of(job, outcome, omissions, ctx.page)
    sent = []
    for name, deliver in (ctx.channels or {"log": _log}).items():
        if not ctx.ledger.notices.take(job_id, outcome, name):
            continue
        try:
            deliver(notice)
        except (DeliveryFailed, DeliveryRefused) as error:
            ctx.ledger.notices.release(job_id, outcome, name)
            log.error("job %d: %r was not delivered by %s: %s", job_id, notice.subject, name, scrub(str(error)))
        except Exception as error:
            ctx.ledger.notices.release(job_id, outcome, name)
            text = "job %d: %r was not delivered by %s: %s"
            log.exception(text, job_id, notice.subject, name, scrub(str(foreseen(error))))
        except BaseException:
            ctx.ledger.notices.release(job_id, outcome, name)
            raise
        else:
            sent.append(name)
            log.info("job %d: delivered by %s: %s", job_id, name, notice.subject)
    return sent


def notify_late(ctx: Context, job_id: int | None = None) -> None:
    """Notify people of jobs that have not ended settings.deadline_seconds after their request; the jobs go on.

    job_id: look at no other job than this one.
    """
    seconds = ctx.settings.deadline_seconds
    for job in ctx.ledger.watch.late(seconds, job_id) if seconds else ():
        if notify(ctx.of(job.source), job.id, "late"):
            log.warning("job %d is late: it was requested at %s", job.id, job.created_at.isoformat(" ", "seconds"))


def announce(ctx: Context, notice: Notice) -> None:
    """Send a notice that is not about one job over every channel. What cannot be delivered is logged as an error."""
    for name, deliver in (ctx.channels or {"log": _log}).items():
        try:
            deliver(notice)
        except Exception as error:
            text = "%r was not delivered by %s: %s"
            if isinstance(error, (DeliveryFailed, DeliveryRefused)):
                log.error(text, notice.subject, name, scrub(str(error)))
            else:
                log.exception(text, notice.subject, name, scrub(str(foreseen(error))))
        else:
            log.info("delivered by %s: %s", name, notice.subject)


def _log(notice: Notice) -> None:
    log.info("%s\n%s", notice.subject, notice.text)
