"""Tables that commands print: wrapped in a terminal, whole everywhere else."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

_PIPE_COLUMNS = 500
"""Width for an output that is not a terminal: nothing is cut or wrapped."""


def moment(time: datetime | None) -> str | None:
    """Return a time to the second, with its zone."""
    return None if time is None else time.isoformat(" ", "seconds")


def print_table(rows: Sequence[Mapping[str, Any]], empty: str) -> None:
    """Print a table with a column for each key, or a text if it has no rows."""
    if not rows:
        print(empty)
        return
    console = Console(width=None if sys.stdout.isatty() else _PIPE_COLUMNS, highlight=False)
    table = Table(box=SIMPLE)
    for name, value in rows[0].items():
        table.add_column(name, justify="right" if isinstance(value, int) else "left", overflow="fold")
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    console.print(table, markup=False)
