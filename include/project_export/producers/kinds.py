"""All kinds of relations, by their name in a tree."""

from __future__ import annotations

from collections.abc import Mapping

from project_export.producers.base import Kind
from project_export.producers.bundles import Bundles
from project_export.producers.files import Files
from project_export.producers.records import Records
from project_export.tree import Relation

KINDS: Mapping[str, Kind] = {"records": Records(), "files": Files(), "bundle": Bundles()}
"""The tree loader accepts the names in `tree.model.KINDS`; a test compares the two."""


def kind_of(relation: Relation) -> Kind:
    """Return the kind of a relation."""
    return KINDS[relation.kind]
