"""Retention: removes what has expired from the store, and then from the ledger.

Only ended jobs are touched, each under a lock that keeps it from being reopened at the same time. Only jobs of this
ledger are touched: another ledger's files in the same store stay.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from project_export.errors import StoreRefused, listed
from project_export.ledger import Ended, Job, Keep
from project_export.steps.active import RunAlive, alive, cancel
from project_export.steps.context import Context
from project_export.steps.notify import notify
from project_export.store import Store, manifest_of

log = logging.getLogger(__name__)

_HOUR_SECONDS = 3600.0
_DAY_SECONDS = 24 * _HOUR_SECONDS
_NOTIFY_HOURS = 3.0


@dataclass
class Pruned:
    """What was removed, or would be removed.

    cancelled: active jobs whose run is gone, failed; jobs: whole jobs; archives: of jobs that stay;
    leftovers: other files of jobs that stay; bytes: size of all files that were removed; tokens: of the API.
    """

    cancelled: int = 0
    jobs: int = 0
    archives: int = 0
    leftovers: int = 0
    bytes: int = 0
    tokens: int = 0


def prune(ctx: Context, run_alive: RunAlive, *, dry_run: bool = False) -> Pruned:
    """Remove what has expired and return what was removed. Files are removed before the rows that name them.

    1. Active jobs whose run is gone fail as cancelled, queued ones only after they have waited for it for a minute.
    2. Jobs that ended more than settings.job_days ago are removed with all their files, unless their archive must stay.
    3. Archives of jobs that ended more than settings.archive_hours ago are removed with their manifests, but never the
       latest archive of a project that is being exported again, and none that represents a day, week or month
       (settings.keep_daily, keep_weekly, keep_monthly), or that another archive complements.
    4. Unreferenced files of ended jobs are removed: temporary files, and outputs of attempts that do not count.
    5. Tokens that were revoked or expired more than settings.job_days ago are deleted.
    6. Notices of the last hours that were not sent, because the process died or a channel failed, are sent.

    dry_run: change nothing, only report what would be done. If the store refuses, that job keeps its rows, and the
    other jobs are still pruned; then StoreRefused lists the refusals.
    """
    return _Pruning(ctx, dry_run).run(run_alive)


class _Pruning:
    """One prune: counts what it removes, and collects what the store refuses to remove."""

    def __init__(self, ctx: Context, dry_run: bool) -> None:
        self._ctx = ctx
        self._dry_run = dry_run
        self._pruned = Pruned()
        self._refused: list[StoreRefused] = []

    def run(self, run_alive: RunAlive) -> Pruned:
        ledger, settings = self._ctx.ledger, self._ctx.settings
        for job in ledger.retention.active_jobs():
            if not alive(self._ctx, job, run_alive):
                self._cancel(job)
        job_seconds, archive_seconds = settings.job_days * _DAY_SECONDS, settings.archive_hours * _HOUR_SECONDS
        keep = Keep(settings.keep_daily, settings.keep_weekly, settings.keep_monthly)
        staying = ledger.retention.staying(keep, archive_seconds)
        jobs = {job.id for job in ledger.retention.expired_jobs(job_seconds, archive_seconds)} - staying.keys()
        archives = {job.id for job in ledger.retention.expired_archives(archive_seconds)} - staying.keys() - jobs
        for job_id, reason in staying.items() if self._dry_run else ():
            log.info("job %d stays with its archive: %s", job_id, reason)
        for job in ledger.retention.ended_jobs():
            with self._locked(job) as ended:
                if ended is None:
                    continue
                if job.id in jobs:
                    self._remove_job(ended)
                else:
                    self._remove_files(ended, expired=job.id in archives)
        ended_tokens = len(ledger.tokens.ended(job_seconds))
        self._pruned.tokens = ended_tokens if self._dry_run else ledger.tokens.delete_ended(job_seconds)
        for job in ledger.retention.recently_ended(_NOTIFY_HOURS * _HOUR_SECONDS) if not self._dry_run else ():
            notify(self._ctx.of(job.source), job.id, job.outcome or "failed")
        log.info("%s: %s", "would be pruned" if self._dry_run else "pruned", self._pruned)
        if self._refused:
            raise StoreRefused(listed(f"{len(self._refused)} job(s) could not be pruned", self._refused))
        return self._pruned

    def _cancel(self, job: Job) -> None:
        if self._dry_run or cancel(self._ctx.of(job.source), job):
            self._pruned.cancelled += 1
            log.info("job %d: its run %s is gone", job.id, job.run_id)

    @contextmanager
    def _locked(self, job: Job) -> Iterator[Ended | None]:
        try:
            with self._ctx.ledger.retention.locked(job) as ended:
                yield ended
        except StoreRefused as error:
            log.error("job %d: %s", job.id, error)
            self._refused.append(error)

    def _remove_job(self, ended: Ended) -> None:
        store, key = self._store(ended.job), self._ctx.key(ended.job)
        self._remove(store, ended.job, store.files(key))
        if not self._dry_run:
            store.remove_folder(key)
            ended.delete()
        self._pruned.jobs += 1
        log.info("job %d of project %d, ended %s", ended.job.id, ended.job.project_id, ended.job.finished_at)

    def _remove_files(self, ended: Ended, *, expired: bool) -> None:
        """Remove the archive if it has expired, and all files that neither the job nor its rows refer to."""
        job, store, key = ended.job, self._store(ended.job), self._ctx.key(ended.job)
        published = {job.archive_uri, manifest_of(job.archive_uri)} if job.archive_uri else set()
        kept = {row.uri for row in self._ctx.ledger.queries.rows(job.id)}
        if not expired:
            kept |= published
        files = store.files(key).items()
        doomed = {uri: size for uri, size in files if uri not in kept and not store.being_written(uri)}
        self._remove(store, job, doomed)
        self._pruned.leftovers += len(doomed.keys() - published)
        if expired:
            if not self._dry_run:
                ended.forget_archive()
            self._pruned.archives += 1

    def _store(self, job: Job) -> Store:
        return self._ctx.of(job.source).store

    def _remove(self, store: Store, job: Job, files: dict[str, int]) -> None:
        for uri, size in files.items():
            if not self._dry_run:
                store.remove(uri)
            self._pruned.bytes += size
            log.info("job %d: %s (%d bytes)", job.id, uri, size)
