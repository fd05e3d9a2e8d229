"""`project-export dags`: put the DAG files of this version where Airflow reads them."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from project_export.cli.exits import errors
from project_export.store import replacing


def dags(to: Annotated[Path, typer.Option(help="Airflow's DAG folder, or one below it; created if missing.")]) -> None:
    """Write the DAG files, replacing those of another version. Run it again after each update of the package."""
    with errors():
        folder = to.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        for source in sorted((resources.files("project_export") / "dags").iterdir(), key=lambda one: one.name):
            if source.name.endswith(".py"):
                path, content = folder / source.name, source.read_bytes()
                before = path.read_bytes() if path.exists() else None
                if before != content:
                    with replacing(path, "dags") as out:  # Airflow may read it at any moment
                        out.write(content)
                print(f"{path}: {'written' if before is None else 'unchanged' if before == content else 'replaced'}")
