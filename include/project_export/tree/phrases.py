"""Parts of a tree as Markdown phrases."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace

from project_export.tree.forms import Beside, Condition, Derived, Elsewhere, Form, Key, Order, Ref, Scalar, Source, Tip
from project_export.tree.model import Also, Relation


def condition(source: Relation | Also, parent: Relation) -> str:
    """Return which table rows of a source belong to a parent."""
    derived = dict(parent.derived)
    joins = [f"`{own}` = {_derived(derived.get(other), other, parent)}" for own, other in source.join]
    either = [" or ".join(" and ".join(_where(one)) for one in source.either)] if source.either else []
    return " and ".join([*joins, *_where(source.where), *(f"({one})" for one in either)])


def note(key: Key) -> str:
    """Return how a value is made, nothing if it is the column's own value."""
    only_git = key.tip is not None and key.form.constant is not None
    parts = [_of_form(key.form, key)] if key.form != Form((Ref(key.name),)) and not only_git else []
    for layout in key.layouts:
        without = f" and without the table {names(layout.without)}" if layout.without else ""
        parts.append(f"in a layout that has it{without}: {_of_form(layout.form, layout)}")
    parts += [f"where {' and '.join(_where(when))}: {_of_form(form, key)}" for when, form in key.cases]
    if key.wrap is not None:
        parts.append(f"as an object with only the key `{key.wrap}`")
    if key.elsewhere is not None:
        parts.append(_elsewhere(key.elsewhere))
    if key.tip is not None:
        parts.append(_tip(key.tip, only=only_git))
    if key.head is not None:
        parts.append(f"the default branch of [{key.head}]({anchor(key.head)}) replaces it, if it has branches")
    if key.parameter is not None:
        parts.append(f"the request's parameter `{key.parameter}` replaces it")
    if key.last:
        parts.append("comes after the nested relations")
    if key.why is not None and key.constant is None and key.head is None:
        parts.append(f"usually NULL: {key.why}")
    for edition, variant in key.editions:
        parts.append(f"edition {edition}: {note(replace(variant, wrap=None, last=False)) or 'the column as it is'}")
    return "; ".join(part for part in parts if part)


def _tip(tip: Tip, *, only: bool) -> str:
    """Return which commit is the value. only: whether there is no other, or it replaces NULL."""
    same = f", if {' = '.join(f'`{ref}`' for ref in tip.same)}" if tip.same else ""
    where = f"the branch `{tip.branch}` of [{tip.repository}]({anchor(tip.repository)})"
    return f"{'' if only else 'if NULL, '}the last commit of {where}{same}"


def row(row: Beside) -> str:
    """Return which row of another table is meant."""
    match = [f"`{its}` = {' or else '.join(f'`{ref}`' for ref in refs)}" for its, refs in row.match]
    where = " and ".join([*match, *_where(row.where)])
    first = f"{', ' if where else ''}the first by {columns(row.order)}" if row.order else ""
    return f"`{row.table}`" + (f" ({'where ' * bool(where)}{where}{first})" if where or first else "")


def order(relation: Relation) -> str:
    """Return how table rows are ordered, after a comma; nothing for a relation without an order."""
    if not relation.order:
        return ""
    return f", {'the first' if relation.one else 'ordered'} by {columns(relation.order)}"


def change(relation: Relation) -> str:
    """Return what an export of changes has of a top-level relation."""
    if relation.changed_at is None:
        return "always everything"
    merged = f"merged by {names(relation.merge)}" if relation.merge else "merged by their names"
    return f"what changed by `{relation.changed_at}`, {merged}"


def columns(orders: Iterable[Order]) -> str:
    """Return the columns of an order as a list."""
    return ", ".join(
        f"`{o.column}`{' descending' * o.descending}{' (NULL last)' * o.nulls_last}"
        + "".join(f" (one more if `{own}` = `{other}` of the root)" for own, other in o.raised)
        for o in orders
    )


def names(names: Iterable[str]) -> str:
    """Return names as code, separated by commas."""
    return ", ".join(f"`{name}`" for name in names)


def table(head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    """Return a Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def anchor(heading: str) -> str:
    """Return the anchor that GitHub and GitLab make of a heading.

    >>> anchor("Records of users, 2")
    '#records-of-users-2'
    """
    kept = (c for c in heading.lower().replace(" ", "-") if c.isalnum() or c in "-_")
    return "#" + "".join(kept)


def _where(conditions: Iterable[Condition]) -> list[str]:
    return [_one_condition(condition) for condition in conditions]


def _one_condition(condition: Condition) -> str:
    if not condition.ref.column:
        return f"there is {'a' if condition.values == (True,) else 'no'} row `{condition.ref}`"
    if condition.test == "over":
        return f"`{condition.ref}` is over {condition.values[0]}"
    return f"`{condition.ref}` is {'not ' * (condition.test == 'not')}{_either(condition.values)}"


def _of_form(form: Form, key: Key) -> str:
    """Return how a value is converted."""
    if form.constant is not None:
        return f"always `{form.constant}`" + (f": {key.why}" if key.why else "")
    parts = []
    if form.of is not None:
        parts.append(f"`{form.of}` if there is such a row")
    sources = [_source(source) for source in form.sources]
    if sources and (form.of or sources != [f"`{key.name}`"]):
        parts.append(f"{'else' if form.of else 'from'} {', else '.join(sources)}")
    if form.enum is not None:
        parts.append(f"the name from enum [{form.enum.name}]({anchor(f'Enum {form.enum.name}')})")
    if form.trim:
        parts.append("without leading and trailing white space")
    if form.transform is not None:
        only = f" where {' and '.join(_where(form.when))}" if form.when else ""
        parts.append(f"converted by [{form.transform}]({anchor('Transforms')}){only}")
    if form.blank:
        parts.append("a value of only white space counts as NULL")
    if form.default is not None:
        parts.append(f"`{form.default}` if it is NULL" + " or a code without a name" * (form.enum is not None))
    if form.absent is not None:
        parts.append(f"`{form.absent}` if there is no such row")
    return "; ".join(parts)


def _source(source: Source) -> str:
    if isinstance(source, Ref):
        return f"`{source}`"
    if source.value is None:
        return f"the number of rows of {row(source.row)}"
    return f"{_source(source.value)} of {row(source.row)}"


def _derived(value: Derived | None, name: str, parent: Relation) -> str:
    if value is None:
        return f"`{parent.table}.{name}`"
    if isinstance(value, Form):
        return f"({_of_form(value, Key(name, value))})"
    where = "".join(f" and {one}" for one in _where(value.where))
    path = f" by `{value.path}`, or" if value.path else ""
    return f"any `{value.table}.{value.key}` from `{value.start}` upwards{path} by `{value.parent}`{where}"


def _elsewhere(place: Elsewhere) -> str:
    where = f"if it is NULL and `{place.offset}` is not, it is stored outside the database"
    if not place.file:
        return f"{where} and only counted in the manifest"
    if place.when:
        where = (
            f"if {' and '.join(_where(place.when))} in the row that names the file, it is stored outside the database"
        )
    file = "".join(f"<{part}>" if number % 2 else part for number, part in enumerate(place.file))
    row = " and ".join(f"`{place.table}.{other}` = `{own}`" for other, own in place.match)
    return f"{where}: `{place.size}` bytes of the file `{file}` (of `{place.table}` where {row})"


def _either(values: tuple[Scalar, ...]) -> str:
    names = ["NULL" if v is None else f"`{v if isinstance(v, str) else json.dumps(v)}`" for v in values]
    return names[0] if len(names) == 1 else f"one of {', '.join(names)}"
