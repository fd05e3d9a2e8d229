"""The tree: what a project is, as data. `load` reads and checks a file, `bind` fits it to a live catalogue."""

from project_export.tree.bind import BoundTree, Catalogue, LeftOut, bind, tables
from project_export.tree.load import load
from project_export.tree.model import Also, Enum, Key, Lookup, Option, Order, Relation, Span, Tree

__all__ = [
    "Also",
    "BoundTree",
    "Catalogue",
    "Enum",
    "Key",
    "LeftOut",
    "Lookup",
    "Option",
    "Order",
    "Relation",
    "Span",
    "Tree",
    "bind",
    "load",
    "tables",
]
