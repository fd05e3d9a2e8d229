"""`project-export apply`: merge archives of changes into a full archive."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from project_export.archive.apply import apply as apply_deltas
from project_export.archive.chain import Chain
from project_export.cli.exits import errors
from project_export.cli.verify import tree_of
from project_export.settings import Settings


def apply(
    base: Annotated[Path, typer.Argument(help="A full archive, with its manifest beside it.")],
    deltas: Annotated[list[Path], typer.Argument(help="Archives of changes, each with its manifest beside it.")],
    out: Annotated[Path, typer.Option(help="The archive to write, in a folder of its own.")],
    tree: Annotated[str, typer.Option(help="Shipped tree or file with the merge keys; the manifest's if empty.")] = "",
) -> None:
    """Merge archives of changes into the full archive that they continue, in any order.

    The archives must leave no gap. What was deleted since the full export is still in the result. The last line is the
    path of the archive.
    """
    with errors():
        chain = Chain.of(base, deltas)
        merged = apply_deltas(chain, tree_of(tree, chain.base.manifest), out, level=Settings().compress_level)
    print(f"{merged.records} records, {merged.archive.bytes} bytes")
    print(f"continued by a window that starts at {merged.manifest.next_window_start} or earlier")
    print(f"archive: {out}")
