"""How far an export is: bars on a terminal; where stderr is a pipe or a file, a line for each relation that ends."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from project_export.ledger import Row
from project_export.ledger.states import ENDED, FAILED, QUEUED
from project_export.shell import Show

LINE_SECONDS = 10.0


@contextmanager
def progress() -> Iterator[Show]:
    """Give a function that shows the ledger's rows on stderr."""
    if sys.stderr.isatty():
        with _bars() as show:
            yield show
    else:
        yield _Lines().show


class _Lines:
    """Prints a line when a relation has ended, and one for all from time to time."""

    def __init__(self) -> None:
        self._ended: set[str] = set()
        self._next = time.monotonic() + LINE_SECONDS

    def show(self, rows: Sequence[Row]) -> None:
        """Print what is new. A relation that is read again ends again."""
        parts: dict[str, list[Row]] = {}
        for row in rows:
            parts.setdefault(row.relation, []).append(row)
        ended = {name for name, its in parts.items() if all(row.state in ENDED for row in its)}
        for name in (name for name in parts if name in ended - self._ended):
            failed = any(row.state == FAILED for row in parts[name])
            _say(f"{name}: {'failed' if failed else f'{_records(parts[name])} records'}")
        self._ended = ended
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + LINE_SECONDS
            done = sum(row.state in ENDED for row in rows)
            _say(f"{done} of {len(rows)} relation(s) or part(s) have ended, {_records(rows)} records so far")


@contextmanager
def _bars() -> Iterator[Show]:
    """Show one bar for each relation that has begun, and one for all."""
    columns = (TextColumn("{task.description:<28}"), BarColumn(), TextColumn("{task.fields[rows]:>10} records"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as bars:
        of: dict[str, TaskID] = {}

        def show(rows: list[Row]) -> None:
            by_name = {"all relations": rows}
            for row in rows:
                if row.state != QUEUED:
                    by_name.setdefault(row.relation, []).append(row)
            for name, its in by_name.items():
                if name not in of:
                    of[name] = bars.add_task(name, rows=0)
                ended = sum(row.state in ENDED for row in its)
                bars.update(of[name], total=len(its), completed=ended, rows=_records(its))

        yield show


def _records(rows: Sequence[Row]) -> int:
    return sum(row.rows for row in rows)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
