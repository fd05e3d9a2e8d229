"""The kinds of relations that there are, by the name that a tree gives them."""

from __future__ import annotations

from collections.abc import Mapping

from project_export.producers.base import Kind
from project_export.producers.records import Records
from project_export.tree import Relation

KINDS: Mapping[str, Kind] = {"records": Records()}
"""A tree's loader accepts the names in `tree.model.KINDS`; a test compares them."""


def kind_of(relation: Relation) -> Kind:
    """Return what exports a relation."""
    return KINDS[relation.kind]
