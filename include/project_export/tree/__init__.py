"""The tree: what a project is, as data. `load` reads and checks a file, `bind` fits it to a live catalogue."""

from project_export.tree.bind import BoundTree, Catalogue, bind, tables
from project_export.tree.forms import Beside, Climb, Condition, Enum, Form, Key, Lookup, Order, Ref
from project_export.tree.gaps import LeftOut
from project_export.tree.load import DEFAULT, load, load_all
from project_export.tree.model import Also, Option, Relation, Span, Tree
from project_export.tree.parameters import Parameter

__all__ = [
    "DEFAULT",
    "Also",
    "Beside",
    "BoundTree",
    "Catalogue",
    "Climb",
    "Condition",
    "Enum",
    "Form",
    "Key",
    "LeftOut",
    "Lookup",
    "Option",
    "Order",
    "Parameter",
    "Ref",
    "Relation",
    "Span",
    "Tree",
    "bind",
    "load",
    "load_all",
    "tables",
]
