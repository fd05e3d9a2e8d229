"""`project-export dags`: put the DAG files and the plugin of this version where Airflow reads them."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from project_export.cli.exits import errors
from project_export.store import replacing


def dags(
    to: Annotated[Path, typer.Option(help="Airflow's DAG folder, or one below it; created if missing.")],
    plugins: Annotated[
        Path | None, typer.Option(help="Airflow's plugins folder, for the page and the API; created if missing.")
    ] = None,
) -> None:
    """Write the DAG files, and the plugin if its folder is given, replacing those of another version.

    Run it again after each update of the package.
    """
    with errors():
        _write("dags", to.resolve())
        if plugins is not None:
            _write("plugins", plugins.resolve())


def _write(name: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for source in sorted((resources.files("project_export") / name).iterdir(), key=lambda one: one.name):
        if source.name.endswith(".py"):
            path, content = folder / source.name, source.read_bytes()
            before = path.read_bytes() if path.exists() else None
            if before != content:
                with replacing(path, name) as out:  # Airflow may read it at any moment
                    out.write(content)
            print(f"{path}: {'written' if before is None else 'unchanged' if before == content else 'replaced'}")
