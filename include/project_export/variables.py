"""The environment variables that hold settings.

PROJECT_EXPORT_STORE is the setting `store`; PROJECT_EXPORT_STORE__CRM is the same for the source `crm` alone.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

PREFIX = "PROJECT_EXPORT_"
_BETWEEN = "__"


def variable(name: str, source: str = "") -> str:
    """Return the environment variable of a setting, or of its value for one source alone.

    >>> variable("store")
    'PROJECT_EXPORT_STORE'
    >>> variable("store", "crm-db")
    'PROJECT_EXPORT_STORE__CRM_DB'
    """
    return f"{PREFIX}{name.upper()}{_BETWEEN + suffix(source) if source else ''}"


def suffix(source: str) -> str:
    """Return what the variables of a source end with. source: a connection id.

    >>> suffix("crm-db")
    'CRM_DB'
    """
    return re.sub(r"[^A-Za-z0-9]", "_", source).upper()


@dataclass(frozen=True)
class Own:
    """A variable of one source. variable: its name; name: of the setting; suffix: of the source."""

    variable: str
    name: str
    suffix: str
    value: str


def own() -> list[Own]:
    """Return the variables in the environment that are for one source alone."""
    found = []
    for key, value in sorted(os.environ.items()):
        name, between, source = key.removeprefix(PREFIX).partition(_BETWEEN)
        if key.startswith(PREFIX) and between:
            found.append(Own(key, name.lower(), source, value))
    return found


def own_values(source: str) -> dict[str, str]:
    """Return the values in the environment that are for this source alone, by the name of the setting."""
    return {one.name: one.value for one in own() if one.suffix == suffix(source)}
