"""The command `project-export`, a module for each of its verbs."""

from project_export.cli.app import app

__all__ = ["app"]
