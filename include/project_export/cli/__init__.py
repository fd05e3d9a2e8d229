"""The command `project-export`, with a module for each subcommand."""

from project_export.cli.app import app

__all__ = ["app"]
