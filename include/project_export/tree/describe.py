"""A tree as Markdown for people: which rows leave, under which keys, in which order, and what is made of them.

`document` is what docs/relations.md holds. What has no place in a tree (which schema it was tested on, what it does not
cover) stands in a Markdown file of the same name beside the tree file and comes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from project_export.tree.evidence import Evidence, Known
from project_export.tree.evidence import names as all_names
from project_export.tree.model import (
    Also,
    Beside,
    Condition,
    Derived,
    Elsewhere,
    Enum,
    Form,
    Key,
    Order,
    Ref,
    Relation,
    Scalar,
    Source,
    Tree,
)
from project_export.tree.transforms import TRANSFORMS

Record = tuple[str, tuple[Key, ...]]
"""What makes two relations' records the same: table and keys, as they stand in one place of the file."""


def document(tree: Tree) -> str:
    """Return the whole description: the text beside the tree file, if there is one, and what the tree says."""
    prose = Path(tree.file).with_suffix(".md")
    opening = prose.read_text(encoding="utf-8") if prose.exists() else f"# Relations of the tree {tree.name}\n"
    return "\n\n".join([opening.strip(), *_Describer(tree).sections()]) + "\n"


class _Describer:
    def __init__(self, tree: Tree) -> None:
        self.tree = tree = tree.extended()
        self.evidence = Evidence(tree) if tree.evidence else None
        self.tops = (tree.root, *tree.relations)
        self.headings = {_record(top): top.name for top in self.tops if top.table}
        self.shared: dict[Record, Relation] = {}
        places: dict[Record, dict[Relation, None]] = {}
        for path, relation in tree.walk():
            if "." in path and relation.table:
                places.setdefault(_record(relation), {})[relation] = None
        for record, different in places.items():
            if record not in self.headings and len(different) > 1:
                self.headings[record] = self.heading(record[0])
                self.shared[record] = _common(list(different))

    def heading(self, table: str) -> str:
        heading = f"Records of {table}"
        same = sum(taken.partition(",")[0] == heading for taken in self.headings.values())
        return f"{heading}, {same + 1}" if same else heading

    def sections(self) -> Iterator[str]:
        yield self.overview()
        yield from (self.top(relation) for relation in self.tops)
        if self.shared:
            yield "## Records in several places"
            yield from (self.content(f"### {self.headings[r]}", relation) for r, relation in self.shared.items())
        yield self.enums()
        yield self.transforms()
        if self.tree.uncovered:
            rows = ((f"`{path}`", why) for path, why in self.tree.uncovered)
            yield "## Not in the tree\n\n" + _table(("what the application exports besides", "why not"), rows)

    def overview(self) -> str:
        rows = [
            (
                f"[{relation.name}]({_anchor(relation.name)})",
                ("one" if relation.one or relation is self.tree.root else "many") + ", optional" * relation.optional,
                f"`{relation.table}`" if relation.table else f"always `{relation.constant}`",
                len(relation.keys),
                sum(1 for _ in relation.walk()) - 1,
            )
            for relation in self.tops
        ]
        parts = ["## Overview", _table(("relation", "records", "table", "keys", "nested relations"), rows)]
        return "\n\n".join([*parts, *self.totals()])

    def totals(self) -> Iterator[str]:
        """Say how many keys are known in which way."""
        if self.evidence:
            counts = self.evidence.counts()
            yield (
                f"Nested relations and all places of a record counted, these are {sum(counts.values())} keys:"
                f" {counts['seen']} seen in real exports in that very place, {counts['alike']} seen in another place of"
                f" the table, {counts['read']} read in the source, {counts['assumed']} assumed."
            )

    def top(self, relation: Relation) -> str:
        heading = f"## {relation.name}"
        if not relation.table:
            return f"{heading}\n\nAlways `{relation.constant}`."
        rows = f"The row of `{relation.table}` with the project's id."
        if relation is not self.tree.root:
            count = "At most one row" if relation.one else "The rows"
            rows = f"{count} of `{relation.table}` where {_condition(relation, self.tree.root)}{_order(relation)}."
            for also in relation.also:
                each = f"of each combination of {_names(also.each)} whose `{also.unless}` is not among the others"
                whose = f"{each}, the first by {_columns(also.best)}"
                only = f" (editions {_names(also.editions)})" if also.editions else ""
                rows += f" Then those where {_condition(also, self.tree.root)}: {whose}{only}."
        rows += " Only where the source has the table." * relation.optional
        return self.content(f"{heading}\n\n{rows}", relation)

    def content(self, heading: str, relation: Relation) -> str:
        """Return the keys of a relation, what is made of them, what stays, and what is nested."""
        parts = [heading, f"Keys: {_names(key.name for key in relation.keys)}."]
        made = [(f"`{key.name}`", note) for key in relation.keys if (note := _note(key))]
        if made:
            parts.append(_table(("key", "its value"), made))
        used = {name for key in relation.keys for name in (key.name, key.column) if name}
        stays = sorted(set(self.tree.known.get(relation.table, ())) - used)
        if stays:
            parts.append(f"Other columns of the table, which are not exported: {_names(stays)}.")
        if relation.beside:
            rows = [(f"`{row.name}`", _row(row)) for row in relation.beside]
            parts.append("Rows beside:\n\n" + _table(("name", "the row of"), rows))
        parts += _history(relation)
        parts += self.known(relation)
        if relation.children:
            parts.append("Nested:\n\n" + "\n".join(self.nested(relation, relation.children)))
        return "\n\n".join(parts)

    def known(self, relation: Relation) -> Iterator[str]:
        """Say how the keys of these records are known, those that are known alike together."""
        if not self.evidence:
            return
        places = {path: all_names(other) for path, other in self.tree.walk() if _record(other) == _record(relation)}
        by_source: dict[str, list[str]] = {}
        for name in all_names(relation):
            known = {path: self.evidence.of(path, name) for path, there in places.items() if name in there}
            by_source.setdefault(_source(known, self.evidence), []).append(name)
        most = max(by_source, key=lambda source: len(by_source[source]))
        rest = [f"{_names(keys)}: {source}" for source, keys in by_source.items() if source != most]
        yield f"How the keys are known: {'; '.join([*rest, 'all others: ' * bool(rest) + most])}."

    def nested(self, parent: Relation, children: Iterable[Relation], depth: int = 0) -> Iterator[str]:
        for child in children:
            record = _record(child)
            what = f"`{child.table}` where {_condition(child, parent)}{_order(child)}"
            if child.successor is not None:
                what += f", or `{child.successor.table}` where that has no rows"
            if record in self.headings:
                keys = f"keys as of [{self.headings[record]}]({_anchor(self.headings[record])})"
            else:
                keys = f"keys {', '.join(_with_note(key) for key in child.keys)}"
                said = (*_history(child), *self.known(child))
                keys = ". ".join([keys, *(text.rstrip(".") for text in said)])
            for value, text in child.instead:
                keys += f". Where the value that joins is {value}: `{text}`"
            if child.default is not None:
                values = ", ".join(f"`{name}` {value}" for name, value in child.default)
                keys += f". Without a row: {values}, all else null or empty"
            count = ("one" if child.one else "many") + ", optional" * child.optional
            yield f"{'  ' * depth}- **{child.name}** ({count}): {what}; {keys}"
            told = self.shared[record].children if record in self.shared else ()
            yield from self.nested(child, (nested for nested in child.children if nested not in told), depth + 1)

    def enums(self) -> str:
        found: dict[str, Enum] = {}
        for _, relation in self.tree.walk():
            found.update({form.enum.name: form.enum for form in _forms(relation) if form.enum})
        parts = [
            "## Enums",
            "Integer codes are exported as these names; a code without a name is exported as null and reported.",
        ]
        for name, enum in sorted(found.items()):
            codes = ", ".join(f"{'NULL' if code is None else code} `{text}`" for code, text in enum.names)
            parts.append(f"### Enum {name}\n\n{codes}")
        return "\n\n".join(parts)

    def transforms(self) -> str:
        used = {form.transform for _, relation in self.tree.walk() for form in _forms(relation) if form.transform}
        rows = [(f"`{name}`", _first_sentence(TRANSFORMS[name].function.__doc__ or "")) for name in sorted(used)]
        return "## Transforms\n\n" + _table(("name", "what it does"), rows)


def _forms(relation: Relation) -> Iterator[Form]:
    for key in relation.keys:
        for one in (key, *key.layouts, *(variant for _, variant in key.editions)):
            yield from one.forms


def _record(relation: Relation) -> Record:
    return relation.table, relation.keys


def _common(places: Sequence[Relation]) -> Relation:
    """Return what these have in common besides their keys: the nested relations that belong to the record."""
    first = places[0]
    children = tuple(child for child in first.children if all(child in place.children for place in places))
    return replace(first, children=children)


def _condition(source: Relation | Also, parent: Relation) -> str:
    derived = dict(parent.derived)
    joins = [f"`{own}` = {_derived(derived.get(other), other, parent)}" for own, other in source.join]
    either = [" or ".join(" and ".join(_where(one)) for one in source.either)] if source.either else []
    return " and ".join([*joins, *_where(source.where), *(f"({one})" for one in either)])


def _where(conditions: Iterable[Condition]) -> list[str]:
    return [_one_condition(condition) for condition in conditions]


def _one_condition(condition: Condition) -> str:
    if not condition.ref.column:
        return f"there is {'a' if condition.values == (True,) else 'no'} row `{condition.ref}`"
    if condition.test == "over":
        return f"`{condition.ref}` is over {condition.values[0]}"
    return f"`{condition.ref}` is {'not ' * (condition.test == 'not')}{_either(condition.values)}"


def _note(key: Key) -> str:
    """Say how a value comes about, nothing when it is the column as it is."""
    parts = [_of_form(key.form, key)] if key.form != Form((Ref(key.name),)) else []
    for layout in key.layouts:
        without = f" and without the table {_names(layout.without)}" if layout.without else ""
        parts.append(f"in a layout that has it{without}: {_of_form(layout.form, layout)}")
    parts += [f"where {' and '.join(_where(when))}: {_of_form(form, key)}" for when, form in key.cases]
    if key.wrap is not None:
        parts.append(f"as an object with the one key `{key.wrap}`")
    if key.elsewhere is not None:
        parts.append(_elsewhere(key.elsewhere))
    if key.parameter is not None:
        parts.append(f"the request's parameter `{key.parameter}` replaces it")
    if key.last:
        parts.append("comes after the nested relations")
    if key.why is not None and key.constant is None:
        parts.append(f"NULL as a rule: {key.why}")
    for edition, variant in key.editions:
        parts.append(f"edition {edition}: {_note(replace(variant, wrap=None, last=False)) or 'the column as it is'}")
    return "; ".join(part for part in parts if part)


def _of_form(form: Form, key: Key) -> str:
    """Say what is made of a value."""
    if form.constant is not None:
        return f"always `{form.constant}`" + (f": {key.why}" if key.why else "")
    parts = []
    if form.of is not None:
        parts.append(f"`{form.of}` where there is such a row")
    sources = [_source(source) for source in form.sources]
    if sources and (form.of or sources != [f"`{key.name}`"]):
        parts.append(f"{'else' if form.of else 'from'} {', then '.join(sources)}")
    if form.enum is not None:
        parts.append(f"the name by enum [{form.enum.name}]({_anchor(f'Enum {form.enum.name}')})")
    if form.trim:
        parts.append("without white space at its ends")
    if form.transform is not None:
        only = f" where {' and '.join(_where(form.when))}" if form.when else ""
        parts.append(f"by transform [{form.transform}]({_anchor('Transforms')}){only}")
    if form.blank:
        parts.append("white space alone counts as NULL")
    if form.default is not None:
        parts.append(f"`{form.default}` where it is NULL" + " or a code without a name" * (form.enum is not None))
    if form.absent is not None:
        parts.append(f"`{form.absent}` where there is no such row")
    return "; ".join(parts)


def _source(source: Source) -> str:
    if isinstance(source, Ref):
        return f"`{source}`"
    if source.value is None:
        return f"the number of rows of {_row(source.row)}"
    return f"{_source(source.value)} of {_row(source.row)}"


def _row(row: Beside) -> str:
    """Say which row of another table is meant."""
    match = [f"`{its}` = {' or else '.join(f'`{ref}`' for ref in refs)}" for its, refs in row.match]
    where = " and ".join([*match, *_where(row.where)])
    first = f"{', ' if where else ''}the first by {_columns(row.order)}" if row.order else ""
    return f"`{row.table}`" + (f" ({'where ' * bool(where)}{where}{first})" if where or first else "")


def _derived(value: Derived | None, name: str, parent: Relation) -> str:
    if value is None:
        return f"`{parent.table}.{name}`"
    if isinstance(value, Form):
        return f"({_of_form(value, Key(name, value))})"
    where = "".join(f" and {one}" for one in _where(value.where))
    path = f" by `{value.path}`, or" if value.path else ""
    return f"any `{value.table}.{value.key}` from `{value.start}` upwards{path} by `{value.parent}`{where}"


def _elsewhere(place: Elsewhere) -> str:
    where = f"where it is NULL and `{place.offset}` is not, it is stored elsewhere"
    if not place.file:
        return f"{where}: counted in the manifest"
    if place.when:
        where = f"where {' and '.join(_where(place.when))} in the row that names the file, it is stored elsewhere"
    file = "".join(f"<{part}>" if number % 2 else part for number, part in enumerate(place.file))
    row = " and ".join(f"`{place.table}.{other}` = `{own}`" for other, own in place.match)
    return f"{where}: `{place.size}` bytes of the file `{file}` (of `{place.table}` where {row})"


def _history(relation: Relation) -> Iterator[str]:
    """Say when keys came and went."""
    for title, dates in (
        ("Not in every version", [(name, span.came) for name, span in relation.since]),
        ("In older versions only", [(name, span.went) for name, span in relation.until]),
    ):
        by_date: dict[str, list[str]] = {}
        for name, date in dates:
            by_date.setdefault(date, []).append(name)
        if by_date:
            yield f"{title}: {'; '.join(f'{_names(names)} ({date})' for date, names in by_date.items())}."


def _source(places: Mapping[str, Known], evidence: Evidence) -> str:
    """Say how one key of a record is known, which has one place or several."""
    first = next(iter(places.values()))
    parts = []
    if seen := {path: evidence.span(known.seen) for path, known in places.items() if known.seen}:
        named = [f"`{path}` {versions}" if len(places) > 1 else versions for path, versions in seen.items()]
        parts.append(f"seen in exports of {'; '.join(named)}")
    elif first.alike:
        named = [f"`{path}` {evidence.span(versions)}" for path, versions in first.alike]
        parts.append(f"seen elsewhere, in exports of {'; '.join(named)}")
    if first.read and (first.notes or not parts):
        parts.append(f"read in {_names(first.read)}")
    if not parts:
        parts.append(f"assumed, from {_names(first.assumed)}" if first.assumed else "not known")
    return ", ".join(parts) + "".join(f" ({note})" for note in first.notes)


def _with_note(key: Key) -> str:
    note = _note(key)
    return f"`{key.name}` ({note})" if note else f"`{key.name}`"


def _order(relation: Relation) -> str:
    if not relation.order:
        return ""
    return f", {'the first' if relation.one else 'ordered'} by {_columns(relation.order)}"


def _columns(orders: Iterable[Order]) -> str:
    return ", ".join(
        f"`{o.column}`{' descending' * o.descending}{' (NULL last)' * o.nulls_last}"
        + "".join(f" (one more where `{own}` = `{other}` of the root)" for own, other in o.raised)
        for o in orders
    )


def _either(values: tuple[Scalar, ...]) -> str:
    names = ["NULL" if value is None else f"`{value}`" for value in values]
    return names[0] if len(names) == 1 else f"one of {', '.join(names)}"


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _table(head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _anchor(heading: str) -> str:
    """Return a heading's anchor as GitHub and GitLab make it.

    >>> _anchor("Records of users, 2")
    '#records-of-users-2'
    """
    kept = (c for c in heading.lower().replace(" ", "-") if c.isalnum() or c in "-_")
    return "#" + "".join(kept)


def _first_sentence(text: str) -> str:
    return " ".join(text.partition("\n\n")[0].split())
