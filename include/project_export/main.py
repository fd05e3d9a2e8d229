"""The program `project-export`.

A worker of an export imports the program's first module again, so this one imports the others only when it runs.
"""

from __future__ import annotations


def main() -> None:
    """Run the command line."""
    from project_export.cli import app

    app()
