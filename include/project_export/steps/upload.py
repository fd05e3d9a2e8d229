"""Send a published archive to a URL, as GitLab's web upload does: PUT or POST, application/gzip, any 2xx."""

from __future__ import annotations

import logging
import random
import time

from project_export.errors import DeliveryFailed, StoreRefused
from project_export.ledger import Job
from project_export.ledger.scrub import scrub
from project_export.send import Url, send, shown
from project_export.steps.context import Context

log = logging.getLogger(__name__)

DELAYS_SECONDS = (1.0, 4.0, 16.0)


def check_upload(ctx: Context, url: str) -> None:
    """Raise BadRequest if nothing may be sent to this URL, DeliveryFailed if its host cannot be resolved."""
    Url.parse(url).addresses(allow_private=ctx.settings.upload_allow_private)


def upload(ctx: Context, job: Job, url: str, method: str) -> None:
    """Stream a job's archive to the URL; each try opens the file again.

    Raises DeliveryRefused, BadRequest, DeliveryFailed after the last try, and ArtifactMissing if the archive is gone.
    """
    uri = str(job.archive_uri)
    size = ctx.store.files(ctx.key(job)).get(uri, 0)
    if size != job.archive_bytes:
        message = f"{uri} has {size} bytes instead of {job.archive_bytes}"
        raise StoreRefused(f"{message}. Clear the merge: it writes the archive again.")
    for number, delay in enumerate((*DELAYS_SECONDS, None), start=1):
        try:
            with ctx.store.open(uri) as archive:
                status = send(
                    url,
                    method,
                    archive,
                    size,
                    {"Content-Type": "application/gzip"},
                    allow_private=ctx.settings.upload_allow_private,
                    timeout_seconds=ctx.settings.upload_timeout_seconds,
                )
        except DeliveryFailed as error:
            if delay is None:
                raise
            log.warning("try %d: %s", number, scrub(str(error)))
            time.sleep(delay * random.uniform(0.5, 1.5))
        else:
            log.info("job %d: %d bytes sent to %s (%d)", job.id, size, shown(url), status)
            return
