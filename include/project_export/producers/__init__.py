"""Producers make the bytes of a relation's parts; the relation's kind in the tree selects one."""

from project_export.producers.base import Estimate, Kind, Needs, Producer, Project
from project_export.producers.kinds import KINDS, kind_of

__all__ = ["KINDS", "Estimate", "Kind", "Needs", "Producer", "Project", "kind_of"]
