"""The references of a relation to its own columns, to rows beside it, and to the root."""

from __future__ import annotations

from collections.abc import Iterator

from project_export.tree.forms import ROOT, Beside, Climb, Condition, Form, Lookup, Ref, Source
from project_export.tree.model import Relation


def refs(relation: Relation) -> Iterator[Ref]:
    """Yield all references of a relation, without those of nested relations."""
    for conditions in (relation.where, *relation.either):
        yield from _of_conditions(conditions)
    for row in relation.beside:
        yield from _of_row(row)
    for key in relation.keys:
        for one in (key, *key.layouts):
            for when, form in one.cases:
                yield from _of_conditions(when)
                yield from _of_form(form)
            yield from _of_form(one.form)
            if one.tip is not None:
                yield from one.tip.refs
    for _, value in relation.derived:
        if not isinstance(value, Climb):  # whose conditions are on its own table only
            yield from _of_form(value)
    for also in relation.also:
        for conditions in (also.where, *also.either):
            yield from _of_conditions(conditions)
        yield from (Ref(other, ROOT) for order in also.best for _, other in order.raised)


def root_refs(relation: Relation) -> Iterator[Ref]:
    """Yield the references of a relation, its nested ones and its successors to the root and to rows beside the root.

    They are yielded as references in the root itself.
    """
    for ref in refs(relation):
        if ref.row == ROOT:
            yield Ref(ref.column)
        elif ref.row.startswith(f"{ROOT}."):
            yield Ref(ref.column, ref.row.removeprefix(f"{ROOT}."))
    for nested in (*relation.children, relation.successor):
        if nested is not None:
            yield from root_refs(nested)


def _of_form(form: Form) -> Iterator[Ref]:
    if form.of is not None:
        yield form.of
    yield from _of_conditions(form.when)
    for source in form.sources:
        yield from _of_source(source)


def _of_source(source: Source) -> Iterator[Ref]:
    if isinstance(source, Ref):
        yield source
        return
    yield from _of_row(source.row)
    if isinstance(source.value, Lookup):
        # It starts from the other row, so its references are not this row's, except those to the root.
        yield from (ref for ref in _of_source(source.value) if ref.row.partition(".")[0] == ROOT)


def _of_row(row: Beside) -> Iterator[Ref]:
    yield from (ref for _, match in row.match for ref in match)
    yield from (condition.ref for condition in row.where if condition.ref.row.partition(".")[0] == ROOT)


def _of_conditions(conditions: tuple[Condition, ...]) -> Iterator[Ref]:
    yield from (condition.ref for condition in conditions)
