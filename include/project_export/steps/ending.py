"""However a step goes wrong, its job ends: with that error, told once, and never left to itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from project_export.errors import (
    WHOLE,
    Failure,
    JobActive,
    JobMissing,
    LedgerBusy,
    MoveRefused,
    Permanent,
    RelationsFailed,
    Stopped,
    foreseen,
)
from project_export.steps.context import Context
from project_export.steps.notify import notify

log = logging.getLogger(__name__)


@contextmanager
def ending(
    ctx: Context,
    job_id: int,
    *,
    last_try: bool,
    what: str = "",
    ask: Callable[[Callable[[], bool]], bool] = lambda write: write(),
) -> Iterator[None]:
    """Fail the job when the block raises what ends it, and raise that as an error of the tree.

    A permanent error ends it, and on the last try any other; not what says that the job has ended, or is another
    process's. last_try: no retry follows. what: goes before the error in the job's. ask: asks the ledger, and knows how
    long to wait for its answer.
    """
    try:
        yield
    except Exception as error:
        known = foreseen(error)
        others = isinstance(known, (Stopped, MoveRefused, JobActive, JobMissing))
        if not others and (last_try or isinstance(known, Permanent)):
            failures = known.failures if isinstance(known, RelationsFailed) else [Failure(WHOLE, 0, what + str(known))]
            _fail(ctx, job_id, failures, ask)
        if known is error:
            raise
        raise known from error


def _fail(
    ctx: Context, job_id: int, failures: list[Failure] | tuple[Failure, ...], ask: Callable[[Callable[[], bool]], bool]
) -> None:
    # Where it has failed before, that was told; if not, since an answer of the ledger was lost, the prune tells it.
    try:
        if ask(lambda: ctx.ledger.fail_job(job_id, failures)):
            notify(ctx, job_id, "failed")
    except (MoveRefused, JobMissing) as error:
        log.warning("job %d is not failed: %s", job_id, error)
    except LedgerBusy as error:
        log.error("job %d could not be failed; the next run of the project or prune_exports does it: %s", job_id, error)
