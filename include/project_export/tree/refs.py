"""Which columns of rows beside, and of the root, a relation's references name."""

from __future__ import annotations

from collections.abc import Iterator

from project_export.tree.forms import ROOT, Beside, Climb, Condition, Form, Lookup, Ref, Source
from project_export.tree.model import Relation


def refs(relation: Relation) -> Iterator[Ref]:
    """Yield all references of a relation, without those of its nested ones."""
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
    for _, value in relation.derived:
        if not isinstance(value, Climb):  # which has conditions on its own rows only
            yield from _of_form(value)
    for also in relation.also:
        for conditions in (also.where, *also.either):
            yield from _of_conditions(conditions)
        yield from (Ref(other, ROOT) for order in also.best for _, other in order.raised)


def root_refs(relation: Relation) -> Iterator[Ref]:
    """Yield what a relation, its nested ones and its successors name of the root's row and the rows beside that.

    The references are as the root itself would have them.
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
        # What starts from the other row is not this row's; the root is the same for both.
        yield from (ref for ref in _of_source(source.value) if ref.row.partition(".")[0] == ROOT)


def _of_row(row: Beside) -> Iterator[Ref]:
    yield from (ref for _, match in row.match for ref in match)
    yield from (condition.ref for condition in row.where if condition.ref.row.partition(".")[0] == ROOT)


def _of_conditions(conditions: tuple[Condition, ...]) -> Iterator[Ref]:
    yield from (condition.ref for condition in conditions)
