"""How far something is: a live view on a terminal, else a line for each change."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass

import psycopg
from rich.console import Console
from rich.filesize import decimal
from rich.live import Live
from rich.progress import FileSizeColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from project_export.ledger import Row

Show = Callable[[Sequence[Row]], None]
Growing = Callable[[str, Callable[[], int]], AbstractContextManager[None]]

LIVE_SECONDS, LINE_SECONDS = 0.5, 10.0

COLOURS = {"queued": "dim", "started": "cyan", "finished": "green", "failed": "red"}


@dataclass(frozen=True)
class Relation:
    """One relation, its parts added up. attempt: the highest of its parts."""

    name: str
    state: str
    records: int
    raw_bytes: int
    attempt: int


def relations(rows: Sequence[Row]) -> list[Relation]:
    """Add up the parts of each relation, in the order of the rows.

    A relation is failed when a part is, finished when all are, queued when none has begun, else started.
    """
    parts: dict[str, list[Row]] = {}
    for row in rows:
        parts.setdefault(row.relation, []).append(row)
    return [
        Relation(
            name,
            _state({part.state for part in of_it}),
            sum(part.rows for part in of_it),
            sum(part.raw_bytes for part in of_it),
            max(part.attempt for part in of_it),
        )
        for name, of_it in parts.items()
    ]


@contextmanager
def progress_view(console: Console) -> Iterator[Show]:
    """Give a function that shows the rows of a job; it is called again and again while the job goes on."""
    if not console.is_terminal:
        yield _lines(console)
        return
    with Live(console=console, refresh_per_second=4) as live:
        yield lambda rows: live.update(relations_table(rows))


@contextmanager
def growing(console: Console, title: str, size: Callable[[], int]) -> Iterator[None]:
    """Show, while the block goes on, how large something has become and how long it has taken.

    size: asks a database for the bytes; where it does not answer, nothing is shown.
    """
    columns = [SpinnerColumn(), TextColumn("{task.description}"), FileSizeColumn(), TimeElapsedColumn()]
    seconds = LIVE_SECONDS if console.is_terminal else LINE_SECONDS
    over = threading.Event()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=None)

        def watch() -> None:
            begun = time.monotonic()
            while not over.wait(seconds):
                with suppress(psycopg.Error):  # whoever does the work reports it
                    now = size()
                    progress.update(task, completed=now)
                    if not console.is_terminal:
                        line = f"      {title}: {decimal(now)} after {time.monotonic() - begun:.0f} s"
                        console.print(line, markup=False)

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()


def _lines(console: Console) -> Show:
    said: dict[str, str] = {}

    def show(rows: Sequence[Row]) -> None:
        now = relations(rows)
        finished = sum(relation.state == "finished" for relation in now)
        for relation in now:
            if relation.state != said.get(relation.name, "queued"):
                said[relation.name] = relation.state
                console.print(
                    f"[{finished:>2}/{len(now)}] {relation.name}: {relation.state}, {relation.records:,} records, "
                    f"{relation.raw_bytes:,} bytes{_tries(relation)}",
                    markup=False,
                )

    return show


def relations_table(rows: Sequence[Row]) -> Table:
    """Return the relations of a job as a table."""
    now = relations(rows)
    finished = sum(relation.state == "finished" for relation in now)
    table = Table(title=f"{finished} of {len(now)} relations", title_justify="left", box=None)
    table.add_column("relation")
    table.add_column("state")
    table.add_column("records", justify="right")
    table.add_column("bytes", justify="right")
    table.add_column("")
    for relation in now:
        state = f"[{COLOURS[relation.state]}]{relation.state}[/]"
        table.add_row(relation.name, state, f"{relation.records:,}", f"{relation.raw_bytes:,}", _tries(relation))
    return table


def _tries(relation: Relation) -> str:
    return f" (attempt {relation.attempt})" if relation.attempt > 1 else ""


def _state(states: set[str]) -> str:
    if "failed" in states:
        return "failed"
    return states.pop() if len(states) == 1 else "started"
