"""Show progress: a live view on a terminal, otherwise one line per change."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress

import psycopg
from rich.console import Console
from rich.filesize import decimal
from rich.live import Live
from rich.progress import FileSizeColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from project_export.ledger import RelationProgress

Show = Callable[[Sequence[RelationProgress]], None]
Growing = Callable[[str, Callable[[], int]], AbstractContextManager[None]]

LIVE_SECONDS, LINE_SECONDS = 0.5, 10.0

COLOURS = {"queued": "dim", "started": "cyan", "finished": "green", "failed": "red"}


@contextmanager
def progress_view(console: Console) -> Iterator[Show]:
    """Yield a function that shows the relations of a job; call it repeatedly while the job runs."""
    if not console.is_terminal:
        yield _lines(console)
        return
    with Live(console=console, refresh_per_second=4) as live:
        yield lambda relations: live.update(relations_table(relations))


@contextmanager
def growing(console: Console, title: str, size: Callable[[], int]) -> Iterator[None]:
    """Show the size of something and the elapsed time while the block runs.

    size: asks a database for the number of bytes; nothing is shown if it does not answer.
    """
    columns = [SpinnerColumn(), TextColumn("{task.description}"), FileSizeColumn(), TimeElapsedColumn()]
    seconds = LIVE_SECONDS if console.is_terminal else LINE_SECONDS
    over = threading.Event()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=None)

        def watch() -> None:
            start = time.monotonic()
            while not over.wait(seconds):
                with suppress(psycopg.Error):  # the command that does the work reports it
                    now = size()
                    progress.update(task, completed=now)
                    if not console.is_terminal:
                        line = f"      {title}: {decimal(now)} after {time.monotonic() - start:.0f} s"
                        console.print(line, markup=False)

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()


def _lines(console: Console) -> Show:
    shown: dict[str, str] = {}

    def show(relations: Sequence[RelationProgress]) -> None:
        finished = sum(one.state == "finished" for one in relations)
        for one in relations:
            if one.state != shown.get(one.relation, "queued"):
                shown[one.relation] = one.state
                console.print(
                    f"[{finished:>2}/{len(relations)}] {one.relation}: {one.state}, {one.records:,} records, "
                    f"{one.raw_bytes:,} bytes{_tries(one)}",
                    markup=False,
                )

    return show


def relations_table(relations: Sequence[RelationProgress]) -> Table:
    """Return the relations of a job as a table."""
    finished = sum(one.state == "finished" for one in relations)
    table = Table(title=f"{finished} of {len(relations)} relations", title_justify="left", box=None)
    table.add_column("relation")
    table.add_column("state")
    table.add_column("records", justify="right")
    table.add_column("bytes", justify="right")
    table.add_column("")
    for one in relations:
        state = f"[{COLOURS[one.state]}]{one.state}[/]"
        table.add_row(one.relation, state, f"{one.records:,}", f"{one.raw_bytes:,}", _tries(one))
    return table


def _tries(one: RelationProgress) -> str:
    return f" (attempt {one.attempt})" if one.attempt > 1 else ""
