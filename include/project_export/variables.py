"""The environment variables that hold settings."""

from __future__ import annotations

PREFIX = "PROJECT_EXPORT_"


def variable(name: str) -> str:
    """Return the environment variable of a setting.

    >>> variable("store")
    'PROJECT_EXPORT_STORE'
    """
    return f"{PREFIX}{name.upper()}"
