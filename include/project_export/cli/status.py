"""`project-export status`: the jobs of a ledger, and the relations of one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from project_export.cli.exits import errors
from project_export.cli.tables import moment, print_table
from project_export.ledger import JobProgress, Row
from project_export.shell import kept_ledger
from project_export.store.uris import shown


def status(
    out: Annotated[Path | None, typer.Option(help="Folder of the exports, which contains their ledger.")] = None,
    ledger: Annotated[str, typer.Option("--ledger", help="DSN of a ledger, instead of the one in OUT.")] = "",
    job: Annotated[int, typer.Option(min=0, help="Show the relations of this job.")] = 0,
    project_id: Annotated[int, typer.Option(min=0, help="Show the jobs of this project only.")] = 0,
    most: Annotated[int, typer.Option("--most", min=1, help="Maximum number of jobs.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Show the jobs of a ledger, newest first, or the relations of one job with their errors."""
    with errors():
        queries = kept_ledger(out, ledger).queries
        if job:
            asked, rows = queries.job(job), [_row(row) for row in queries.rows(job)]
            failures = [str(failure) for failure in asked.errors]
        else:
            asked, failures = None, []
            rows = [_job(one) for one in queries.jobs(project_id=project_id or None, limit=most)]
    if as_json:
        print(json.dumps(rows, indent=2, default=str))
        return
    if asked is not None:
        print(f"job {asked.id} of project {asked.project_id}: {asked.state}, run {asked.run_id}")
    print_table(rows, "no jobs" if asked is None else "no relations: it was not started")
    for failure in failures:
        print(failure)


def _job(one: JobProgress) -> dict[str, Any]:
    job, progress = one.job, one.progress
    return {
        "job": job.id,
        "state": "waiting" if job.waiting else job.state,
        "mode": job.mode,
        "project": job.project_id,
        "source": job.source,
        "done": f"{progress.finished} of {progress.total}",
        "records": progress.records if job.records is None else job.records,
        "began": moment(job.created_at),
        "ended": moment(job.finished_at),
        "archive": job.archive_uri and shown(job.archive_uri),
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        "relation": row.relation if row.parts == 1 else f"{row.relation} (part {row.part + 1} of {row.parts})",
        "state": row.state,
        "attempt": row.attempt,
        "records": row.records,
        "ended": moment(row.finished_at),
        "error": row.error,
    }
