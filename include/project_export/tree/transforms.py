"""All transforms, by the names that a tree uses: those for any schema, and those of the shipped trees."""

from __future__ import annotations

from collections.abc import Mapping

from project_export.coders.general import TRANSFORMS as GENERAL
from project_export.coders.general import Noted, Transform
from project_export.trees.gitlab import TRANSFORMS as GITLAB

TRANSFORMS: Mapping[str, Transform] = {**GENERAL, **GITLAB}

__all__ = ["TRANSFORMS", "Noted", "Transform"]
