"""How a tree says by what a change of a row shows, and which keys of a record identify it in an archive."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import yaml

from project_export.tree.forms import Lookup
from project_export.tree.model import UNSEEN, WITH_PARENT, Relation, Tree
from project_export.tree.names import Names
from project_export.tree.nodes import Fields

_WORDS = (WITH_PARENT, UNSEEN)
_TIMES = ("timestamp", "timestamptz")


def changing(names: Names, relation: Relation, own: Fields, fields: Fields, parents: Sequence[Relation]) -> Relation:
    """Return a relation with its attributes `changed` and `merge`.

    own: the attributes of the relation itself. fields: together with those of its shape. Raises TreeError for a column
    that does not exist or is not a time, and for an attribute that would have no effect.
    """
    if len(parents) != 1:
        if "merge" in own:
            names.fail(
                own["merge"], f"relation {relation.name} has a merge key, which only a top-level relation can have"
            )
        return relation if not parents else replace(relation, changed=_changed(names, relation, fields))
    whole = relation.one or relation.kind == "bundle"
    for name in ("changed", "merge"):
        if whole and name in own:
            names.fail(own[name], f"relation {relation.name} is always exported as a whole, so {name} has no effect")
    if whole or "changed" not in fields:
        if "merge" in own:
            names.fail(own["merge"], f"relation {relation.name} has a merge key, but not `changed`")
        return relation
    changed = _changed(names, relation, fields)
    if changed in _WORDS:
        names.fail(fields["changed"], f"relation {relation.name} is at the top level: name a column, or omit `changed`")
    if relation.content is not None:
        if "merge" in own:
            names.fail(own["merge"], f"files are merged by their names, so merge has no effect on {relation.name}")
        return replace(relation, changed=changed)
    if "merge" not in own:
        names.fail(fields["changed"], f"relation {relation.name} needs a merge key: the keys that identify a record")
    there = {key.name: None for key in relation.keys if not key.last}
    merge = tuple(names.choose(item, there, "key") for item in names.items(own["merge"], "merge"))
    if not merge:
        names.fail(own["merge"], f"the merge key of {relation.name} has no key")
    return replace(relation, changed=changed, merge=merge)


def unseen(tree: Tree) -> tuple[str, ...]:
    """Return what an export of changes cannot show, as sentences without a full stop."""
    return (
        "records that were deleted, and nested records that were deleted while nothing else in their record changed",
        "records that belong to the project, or no longer do, although their own row has not changed",
        "records whose time of change is NULL, or was set to a time before the window when they were written",
        *(text for top in tree.extended().relations if top.changed_at for text in _unseen(top)),
    )


def _unseen(top: Relation) -> Iterator[str]:
    for path, relation in top.walk():
        if relation.changed == UNSEEN:
            yield f"{path}: changes do not show"
        elif relation.changed_at == "created_at":
            yield f"{path}: only new rows show"
        for key in relation.keys:
            if key.tip is not None or key.head is not None:
                yield f"{path}.{key.name}: comes from a Git repository"
            elif any(isinstance(source, Lookup) for form in key.forms for source in form.sources):
                yield f"{path}.{key.name}: comes from another table"


def _changed(names: Names, relation: Relation, fields: Fields) -> str:
    node = fields.get("changed")
    if node is None:
        return UNSEEN
    if isinstance(node, yaml.ScalarNode) and node.value in _WORDS:
        return str(node.value)
    column = names.column(node, relation.table)
    kind = names.known.get(relation.table, {}).get(column, "")
    if kind and not kind.startswith(_TIMES):
        names.fail(node, f"column {column} of {relation.table} is not a time; it is {kind}")
    return column
