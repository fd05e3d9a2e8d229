"""Merge a job's parts into its archive and publish it, or raise an error with all failures, as the ledger decides."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from importlib.metadata import version

from project_export.archive.files import RelationFiles, index_text, relation_files, with_index
from project_export.archive.layout import members
from project_export.archive.manifest import (
    Manifest,
    ManifestPart,
    ManifestRelation,
    ManifestSnapshot,
    ManifestWindow,
)
from project_export.archive.oversize import too_large
from project_export.archive.pieces import Member, archive_pieces
from project_export.errors import (
    PartCorrupt,
    RelationsFailed,
    StoreRefused,
    StoreUnusable,
    UnitFailed,
    UnitUnfinished,
)
from project_export.ledger import Job, Row
from project_export.merged import Merged
from project_export.steps.active import resume
from project_export.steps.context import Context
from project_export.steps.ending import ending
from project_export.steps.owner import Owner
from project_export.steps.parts import exported
from project_export.steps.watch import KILLED, fail_fast, release
from project_export.steps.windows import guard_of, next_start, window_of
from project_export.steps.work import DIED, Worker
from project_export.store import Assembled, digest_of, manifest_of
from project_export.tree import Tree
from project_export.tree.changes import unseen

log = logging.getLogger(__name__)

MERGE_UNIT = -1


class Merger:
    """One try of a job's merge. last_try: whether no retry follows, so that any failure ends the job."""

    def __init__(self, ctx: Context, job_id: int, *, run_id: str, attempt: int, last_try: bool) -> None:
        self._ctx = ctx
        self._job_id = job_id
        self._last_try = last_try
        self._worker = Worker(ctx, job_id, Owner(run_id, MERGE_UNIT, attempt), alone=True)

    def run(self) -> Merged:
        """Export what is still queued, then merge and publish.

        Raises RelationsFailed, which names every failed relation. This and any other permanent error fails the job. An
        error that a retry may cure, or that was not foreseen, fails it on the last try only.
        """
        with ending(self._ctx, self._job_id, last_try=self._last_try, ask=self._worker.patiently):
            job = self._worker.patiently(lambda: self._ctx.ledger.queries.job(self._job_id))
            if job.state == "failed":
                resume(self._ctx, job)
            elif job.state == "finished":
                self._ctx.ledger.jobs.reopen(job.id)  # the same parts give the same archive
            return self._merge()

    def cancel(self) -> None:
        """Stop exporting; see `Worker.cancel`."""
        self._worker.cancel()

    def _merge(self) -> Merged:
        """Publish the archive. Export a corrupt part again, as long as it has attempts left."""
        while True:
            try:
                return self._publish()
            except PartCorrupt as error:
                log.warning("%s", error)
                self._requeue(error)

    def _export_rest(self) -> None:
        """Export what is still queued, and raise if anything failed."""
        ledger = self._ctx.ledger
        left = [row for row in ledger.queries.rows(self._job_id) if row.state == "started"]
        release(self._ctx, left, DIED, KILLED)
        fail_fast(self._ctx, ledger.queries.job(self._job_id))
        try:
            self._worker.run()
        except UnitFailed as error:
            log.error("%s", error)
        failures = ledger.queries.failures(self._job_id)
        if failures:
            raise RelationsFailed(failures)
        progress = ledger.queries.progress(self._job_id)
        if progress.pending:
            message = f"{progress.pending} relation(s) of job {self._job_id} are still pending"
            raise UnitUnfinished(f"{message}: they wait for their next attempt, or another process works on them")

    def _requeue(self, error: PartCorrupt) -> None:
        rows = self._ctx.ledger.queries.rows(self._job_id)
        (broken,) = (row for row in rows if (row.relation, row.part) == (error.relation, error.part))
        seen = {broken.id: broken.attempt}
        self._ctx.ledger.claims.requeue(seen, str(error), failed=True)
        if broken.failed_attempts + 1 >= self._ctx.settings.max_attempts:
            self._ctx.ledger.claims.fail_rows(seen, str(error))

    def _publish(self) -> Merged:
        self._export_rest()
        ctx = self._ctx
        job = ctx.ledger.queries.job(self._job_id)
        rows = ctx.ledger.queries.rows(self._job_id)
        by_relation: dict[str, list[Row]] = defaultdict(list)
        for row in rows:
            by_relation[row.relation].append(row)
        relations = [exported(ctx, name, its) for name, its in by_relation.items()]
        outside = {one.name: self._files(one.name, by_relation[one.name]) for one in relations if one.content}
        indexes = {}
        for one in relations:
            if one.content and (index := one.content.index):
                indexes[index.file] = index_text(outside[one.name])
                outside[one.name] = with_index(outside[one.name], index.file)
        files = members({**ctx.tree.format.written(ctx.settings.required), **indexes}, ctx.tree.root.name, relations)
        pieces = archive_pieces(files, ctx.mtime(job))
        key = ctx.key(job)
        uri = ctx.store.archive(key, digest_of(pieces))
        facts = ctx.store.assemble(key, pieces, uri)
        remarks = too_large(facts.bytes, sum(member.size for member in files), ctx.tree.format.limits)
        for remark in remarks:
            log.warning("%s: %s", uri, remark)
        records = sum(row.records for row in rows)
        with ctx.store.writing(key, manifest_of(uri)) as out:
            written = {member.name for member in files if isinstance(member, Member)}
            names = {one.name: file for one in relations if (file := one.file(ctx.tree.root.name)) in written}
            described = _manifest(ctx, job, by_relation, names, outside, facts, remarks)
            out.write(described.to_json().encode())
        upload = job.params.get("after_export") == "upload"  # then the job is finished once the upload is done
        publish = ctx.ledger.jobs.publish if upload else ctx.ledger.jobs.finish
        # Once the ledger names this archive, it counts. Until then, the previous one does and remains unchanged.
        attempts = sum(row.attempt for row in rows)
        self._worker.patiently(lambda: publish(job.id, uri, facts.bytes, facts.sha256, records, attempts=attempts))
        omissions = ctx.ledger.queries.omissions(job.id)
        log.info("%s: %d records, %d bytes%s", uri, records, facts.bytes, ", with omissions" if omissions else "")
        try:
            removed = ctx.store.remove_others(key, {uri, manifest_of(uri), *(row.uri for row in rows if row.uri)})
            log.info("%d unreferenced file(s) removed", len(removed))
        except (StoreRefused, StoreUnusable) as error:
            log.warning("unreferenced files remain until prune_exports removes them: %s", error)
        return Merged(uri, facts.bytes, facts.sha256, records, omissions)

    def _files(self, relation: str, rows: Sequence[Row]) -> RelationFiles:
        """Return the files in a relation's parts. Raises PartCorrupt."""
        files = self._ctx.ledger.queries.files
        return relation_files(relation, [(row.part, files(row.id)) for row in rows])


def _manifest(
    ctx: Context,
    job: Job,
    by_relation: Mapping[str, Sequence[Row]],
    names: Mapping[str, str | None],
    outside: Mapping[str, RelationFiles],
    facts: Assembled,
    remarks: tuple[str, ...],
) -> Manifest:
    relations = []
    tree, limited = ctx.tree.extended(), window_of(job) is not None
    for name, rows in by_relation.items():
        parts = [
            ManifestPart(
                part=row.part,
                rows=row.records,
                raw_bytes=row.raw_bytes,
                stored_bytes=row.stored_bytes or 0,
                sha256=row.sha256 or "",
                attempt=row.attempt,
                generation=row.generation or 0,
            )
            for row in rows
        ]
        own = [remark for row in rows for remark in row.remarks]
        omissions = list(dict.fromkeys(text for row in rows for text in row.omissions))
        changed_at = tree.relation(name).changed_at if limited else None
        files = outside.get(name)
        relations.append(
            ManifestRelation.of(name, names.get(name), parts, own, omissions, files, changed_at=changed_at)
        )
    return Manifest(
        omissions=tuple(text for relation in relations for text in relation.omissions),
        package_version=version("project-export"),
        job_id=job.id,
        source=job.source,
        tree=job.tree,
        project_id=job.project_id,
        run_id=job.run_id,
        requested_by=job.requested_by,
        consistency=job.consistency,
        snapshot=ManifestSnapshot(job.snapshot_generation, job.snapshot_id),
        created_at=job.created_at.isoformat(),
        archive=facts,
        relations=tuple(relations),
        remarks=remarks,
        mode=job.mode,
        window=_window(job, tree),
        next_window_start=next_start(job, ctx.settings).isoformat(),
    )


def _window(job: Job, tree: Tree) -> ManifestWindow | None:
    if job.window_end is None:
        return None
    start = job.window_start.isoformat() if job.window_start else None
    return ManifestWindow(start, job.window_end.isoformat(), job.predecessor_id, guard_of(job), unseen(tree))
