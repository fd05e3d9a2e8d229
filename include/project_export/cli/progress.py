"""The progress of an export: bars on a terminal; otherwise a line on stderr for each relation that ends."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from project_export.ledger import RelationProgress
from project_export.shell import Show

LINE_SECONDS = 10.0


@contextmanager
def progress() -> Iterator[Show]:
    """Yield a function that shows the relations of a job on stderr."""
    if sys.stderr.isatty():
        with _bars() as show:
            yield show
    else:
        yield _Lines().show


class _Lines:
    """Prints a line when a relation has ended, and from time to time one for all relations."""

    def __init__(self) -> None:
        self._ended: set[str] = set()
        self._next = time.monotonic() + LINE_SECONDS

    def show(self, relations: Sequence[RelationProgress]) -> None:
        """Print what is new. A relation that is read again ends again."""
        ended = {one.relation for one in relations if one.ended == one.parts}
        for one in relations:
            if one.relation in ended - self._ended:
                _say(f"{one.relation}: {'failed' if one.failed else f'{one.records} records'}")
        self._ended = ended
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + LINE_SECONDS
            done, parts = sum(one.ended for one in relations), sum(one.parts for one in relations)
            records = sum(one.records for one in relations)
            _say(f"{done} of {parts} relation(s) or part(s) have ended, {records} records so far")


@contextmanager
def _bars() -> Iterator[Show]:
    """Show one bar for each relation that has started, and one for all relations."""
    columns = (TextColumn("{task.description:<28}"), BarColumn(), TextColumn("{task.fields[records]:>10} records"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as bars:
        of: dict[str, TaskID] = {}

        def show(relations: Sequence[RelationProgress]) -> None:
            by_name = {"all relations": relations}
            by_name |= {one.relation: [one] for one in relations if one.parts > one.queued}
            for name, its in by_name.items():
                if name not in of:
                    of[name] = bars.add_task(name, records=0)
                ended, parts = sum(one.ended for one in its), sum(one.parts for one in its)
                bars.update(of[name], total=parts, completed=ended, records=sum(one.records for one in its))

        yield show


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
