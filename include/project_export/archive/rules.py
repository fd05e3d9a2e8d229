"""The rules for the records of a tree's relations, from the tree and from the importer's models."""

from __future__ import annotations

from dataclasses import dataclass

from project_export.archive.importer import importer
from project_export.archive.models import Model
from project_export.archive.values import Form, form_of
from project_export.tree import Relation, Tree


@dataclass
class Rules:
    """The rules for the records of a relation.

    forms: of the tree's keys, None if any value is allowed. nested: the tree's nested relations. model: what the
    importer accepts, None if unknown. one: whether there is at most one record. unique: keys whose values are unique.
    plain: keys for which the importer accepts any value.
    """

    name: str
    forms: dict[str, Form | None]
    nested: dict[str, Rules]
    model: Model | None = None
    one: bool = False
    unique: tuple[str, ...] = ()
    plain: frozenset[str] = frozenset()


class TreeRules:
    """The rules for all relations of a tree, including optional ones. Several verifications may share them.

    root: for the root. tops: by the name of a top-level relation. anywhere: by the name of a relation, wherever it is
    nested. named: all keys that the tree or the importer names.
    """

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.importer = importer(tree.format.importer)
        self.named: set[str] = set(self.importer.keys)
        self.anywhere: dict[str, Rules] = {}
        whole = tree.extended()
        self.root = self._rules(whole, whole.root)
        self.tops = {relation.name: self._rules(whole, relation, top=True) for relation in whole.relations}

    def _rules(self, tree: Tree, relation: Relation, *, top: bool = False) -> Rules:
        model = self.importer.models.get(relation.name)
        handled = model.handled if model else frozenset()
        forms = {
            key.name: None if key.name in handled else form_of(tree, relation, key, self.importer)
            for key in relation.keys
        }
        nested = {child.name: self._rules(tree, child) for child in relation.children}
        unique = tuple(sorted(self.importer.unique & forms.keys())) if top else ()
        plain = model.plain if model else frozenset(forms)
        rules = Rules(relation.name, forms, nested, model, relation.one, unique, plain)
        self.named.update(forms, nested)
        known = self.anywhere.setdefault(relation.name, Rules(relation.name, {}, {}, model))
        known.forms = forms | known.forms
        known.nested = nested | known.nested
        return rules


_made: dict[str, TreeRules] = {}


def rules_of(tree: Tree) -> TreeRules:
    """Return the rules of a tree. They are cached until the tree is loaded again."""
    known = _made.get(tree.file)
    if known is None or known.tree is not tree:
        known = _made[tree.file] = TreeRules(tree)
    return known
