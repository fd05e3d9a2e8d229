"""Tell people how a job ended: each outcome once over each channel, until the job is opened again.

A channel is whatever delivers a notice; which ones there are, whoever makes the context says. Without any, the notice
is logged.
"""

from __future__ import annotations

import logging

from project_export.errors import DeliveryFailed, DeliveryRefused, foreseen
from project_export.ledger import Outcome
from project_export.ledger.scrub import scrub
from project_export.steps.context import Context
from project_export.steps.notice import Notice

log = logging.getLogger(__name__)


def notify(ctx: Context, job_id: int, outcome: Outcome) -> list[str]:
    """Tell an outcome over every channel that has not told it yet, and return those that told it now.

    after_export=none asks for silence, upload for no notice of success (as GitLab). A notice that could not be
    delivered, for whatever reason, is logged as an error and may be told later; it never fails the caller. A process
    that dies in the middle of a delivery has told it or not, and nobody tells it again.
    """
    job = ctx.ledger.queries.job(job_id)
    asked = job.params.get("after_export", "notify")
    if asked == "none" or (asked == "upload" and outcome == "finished"):
        return []
    notice = Notice.of(job, outcome, ctx.ledger.queries.omissions(job_id) if outcome == "finished" else ())
    told = []
    for name, deliver in (ctx.channels or {"log": _log}).items():
        if not ctx.ledger.notices.take(job_id, outcome, name):
            continue
        try:
            deliver(notice)
        except (DeliveryFailed, DeliveryRefused) as error:
            ctx.ledger.notices.release(job_id, outcome, name)
            log.error("job %d: %r was not told by %s: %s", job_id, notice.subject, name, scrub(str(error)))
        except Exception as error:
            ctx.ledger.notices.release(job_id, outcome, name)
            text = "job %d: %r was not told by %s: %s"
            log.exception(text, job_id, notice.subject, name, scrub(str(foreseen(error))))
        except BaseException:
            ctx.ledger.notices.release(job_id, outcome, name)
            raise
        else:
            told.append(name)
            log.info("job %d: told by %s: %s", job_id, name, notice.subject)
    return told


def _log(notice: Notice) -> None:
    log.info("%s\n%s", notice.subject, notice.text)
