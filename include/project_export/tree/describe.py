"""A tree as Markdown for people: which records it exports, in which order, and where the values come from.

`document` makes docs/relations.md. A Markdown file beside the tree file, with the same name, comes first: it says what
a tree cannot, such as which schema it was tested on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from project_export.tree.content import PathRule
from project_export.tree.evidence import Evidence, Known
from project_export.tree.evidence import names as all_names
from project_export.tree.forms import Enum, Form, Key
from project_export.tree.model import UNSEEN, WITH_PARENT, Relation, Tree
from project_export.tree.phrases import anchor, change, columns, condition, names, note, order, row, table
from project_export.tree.transforms import TRANSFORMS

_CHANGED = {WITH_PARENT: "Its changes show with its parent", UNSEEN: "Its changes do not show"}
_KINDS = {"files": "A file", "bundle": "A Git repository"}

Record = tuple[str, tuple[Key, ...]]
"""Two relations have the same records if table and keys are the same."""


def document(tree: Tree) -> str:
    """Return the whole description: the text beside the tree file, if there is one, then that of the tree."""
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
        yield from map(self.outside, self.tree.files)
        if self.shared:
            yield "## Records in several places"
            yield from (self.content(f"### {self.headings[r]}", relation) for r, relation in self.shared.items())
        yield self.enums()
        yield self.transforms()
        if self.tree.uncovered:
            rows = ((f"`{path}`", why) for path, why in self.tree.uncovered)
            yield "## Not in the tree\n\n" + table(("what the application also exports", "why not here"), rows)

    def overview(self) -> str:
        rows = [
            (
                f"[{relation.name}]({anchor(relation.name)})",
                ("one" if relation.one or relation is self.tree.root else "many") + ", optional" * relation.optional,
                f"`{relation.table}`" if relation.table else f"always `{relation.constant}`",
                len(relation.keys),
                sum(1 for _ in relation.walk()) - 1,
            )
            for relation in self.tops
        ]
        rows += [
            (f"[{one.name}]({anchor(one.name)})", f"none: {one.kind}", f"`{one.table}`", 0, 0)
            for one in self.tree.files
        ]
        parts = ["## Overview", table(("relation", "records", "table", "keys", "nested relations"), rows)]
        return "\n\n".join([*parts, *self.totals()])

    def totals(self) -> Iterator[str]:
        """Yield how many keys are known in which way."""
        if self.evidence:
            counts = self.evidence.counts()
            yield (
                f"Counting nested relations and every place of a record, there are {sum(counts.values())} keys:"
                f" {counts['seen']} seen in real exports in that place, {counts['alike']} seen in another place of the"
                f" table, {counts['read']} read in the source, {counts['assumed']} assumed."
            )

    def top(self, relation: Relation) -> str:
        heading = f"## {relation.name}"
        if not relation.table:
            return f"{heading}\n\nAlways `{relation.constant}`."
        rows = f"The row of `{relation.table}` with the project's id."
        if relation is not self.tree.root:
            count = "At most one row" if relation.one else "The rows"
            rows = f"{count} of `{relation.table}` where {condition(relation, self.tree.root)}{order(relation)}."
            for also in relation.also:
                each = f"for each combination of {names(also.each)} whose `{also.unless}` is not among the others"
                whose = f"{each}, the first by {columns(also.best)}"
                only = f" (editions {names(also.editions)})" if also.editions else ""
                rows += f" Then those where {condition(also, self.tree.root)}: {whose}{only}."
        rows += " Only if the source has the table." * relation.optional
        rows += f" Export of changes: {change(relation)}."
        return self.content(f"{heading}\n\n{rows}", relation)

    def outside(self, relation: Relation) -> str:
        """Return what a relation of files or repositories consists of."""
        content = relation.content
        assert content is not None
        count = "at most one row" if relation.one else "each row"
        rows = f"{count} of `{relation.table}` where {condition(relation, self.tree.root)}{order(relation)}"
        parts = [f"## {relation.name}", f"{_KINDS[relation.kind]} for {rows}."]
        lines = [("file in the archive", f"`{content.name}`"), ("location", f"`{content.location}`")]
        lines += [("path", _path(path)) for path in content.paths]
        lines.append(("export of changes", change(relation)))
        named = {"size": content.bytes, "SHA-256": content.sha256, "may be absent unless": content.present}
        lines += [(what, f"`{key}`") for what, key in named.items() if key]
        lines += [(f"`{name}`", f"the SHA-256 of `{text}`") for name, text in content.digests]
        if content.index:
            lines.append(("index", f"`{content.index.file}`, with `{content.index.key}`"))
        parts.append(table(("what", "where it comes from"), lines))
        made = [(f"`{key.name}`", said) for key in relation.keys if (said := note(key))]
        return "\n\n".join([*parts, *([table(("key", "its value"), made)] if made else [])])

    def content(self, heading: str, relation: Relation) -> str:
        """Return the keys of a relation, how their values are made, what is not exported, and what is nested."""
        parts = [heading, f"Keys: {names(key.name for key in relation.keys)}."]
        made = [(f"`{key.name}`", said) for key in relation.keys if (said := note(key))]
        if made:
            parts.append(table(("key", "its value"), made))
        used = {name for key in relation.keys for name in (key.name, key.column) if name}
        stays = sorted(set(self.tree.known.get(relation.table, ())) - used)
        if stays:
            parts.append(f"Other columns of the table, which are not exported: {names(stays)}.")
        if relation.beside:
            rows = [(f"`{beside.name}`", row(beside)) for beside in relation.beside]
            parts.append("Rows beside:\n\n" + table(("name", "the row of"), rows))
        parts += _history(relation)
        parts += self.known(relation)
        if relation.children:
            parts.append("Nested:\n\n" + "\n".join(self.nested(relation, relation.children)))
        return "\n\n".join(parts)

    def known(self, relation: Relation) -> Iterator[str]:
        """Yield how the keys of these records are known, grouped by how they are known."""
        if not self.evidence:
            return
        places = {path: all_names(other) for path, other in self.tree.walk() if _record(other) == _record(relation)}
        by_source: dict[str, list[str]] = {}
        for name in all_names(relation):
            known = {path: self.evidence.of(path, name) for path, there in places.items() if name in there}
            by_source.setdefault(_how_known(known, self.evidence), []).append(name)
        most = max(by_source, key=lambda source: len(by_source[source]))
        rest = [f"{names(keys)}: {source}" for source, keys in by_source.items() if source != most]
        yield f"How the keys are known: {'; '.join([*rest, 'all others: ' * bool(rest) + most])}."

    def nested(self, parent: Relation, children: Iterable[Relation], depth: int = 0) -> Iterator[str]:
        for child in children:
            record = _record(child)
            what = f"`{child.table}` where {condition(child, parent)}{order(child)}"
            if child.successor is not None:
                what += f", or `{child.successor.table}` if that has no rows"
            if record in self.headings:
                keys = f"keys as in [{self.headings[record]}]({anchor(self.headings[record])})"
            else:
                keys = f"keys {', '.join(_with_note(key) for key in child.keys)}"
                said = (*_history(child), *self.known(child))
                keys = ". ".join([keys, *(text.rstrip(".") for text in said)])
            for value, text in child.instead:
                keys += f". If the join column is {value}: `{text}`"
            if child.default is not None:
                values = ", ".join(f"`{name}` {value}" for name, value in child.default)
                keys += f". Without a row: {values}, all others null or empty"
            keys += f". {_CHANGED.get(child.changed, f'Its changes show by `{child.changed}`')}"
            count = ("one" if child.one else "many") + ", optional" * child.optional
            yield f"{'  ' * depth}- **{child.name}** ({count}): {what}; {keys}"
            common = self.shared[record].children if record in self.shared else ()
            yield from self.nested(child, (nested for nested in child.children if nested not in common), depth + 1)

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
        return "## Transforms\n\n" + table(("name", "what it does"), rows)


def _forms(relation: Relation) -> Iterator[Form]:
    for key in relation.keys:
        for one in (key, *key.layouts, *(variant for _, variant in key.editions)):
            yield from one.forms


def _record(relation: Relation) -> Record:
    return relation.table, relation.keys


def _common(places: Sequence[Relation]) -> Relation:
    """Return the first with the nested relations that all of them have."""
    first = places[0]
    children = tuple(child for child in first.children if all(child in place.children for place in places))
    return replace(first, children=children)


def _history(relation: Relation) -> Iterator[str]:
    """Yield when keys were added and removed."""
    for title, dates in (
        ("Not in every version", [(name, span.came) for name, span in relation.since]),
        ("In older versions only", [(name, span.went) for name, span in relation.until]),
    ):
        by_date: dict[str, list[str]] = {}
        for name, date in dates:
            by_date.setdefault(date, []).append(name)
        if by_date:
            yield f"{title}: {'; '.join(f'{names(those)} ({date})' for date, those in by_date.items())}."


def _how_known(places: Mapping[str, Known], evidence: Evidence) -> str:
    """Return how one key of a record is known, which appears in one place or several."""
    first = next(iter(places.values()))
    parts = []
    if seen := {path: evidence.span(known.seen) for path, known in places.items() if known.seen}:
        named = [f"`{path}` {versions}" if len(places) > 1 else versions for path, versions in seen.items()]
        parts.append(f"seen in exports of {'; '.join(named)}")
    elif first.alike:
        named = [f"`{path}` {evidence.span(versions)}" for path, versions in first.alike]
        parts.append(f"seen elsewhere, in exports of {'; '.join(named)}")
    if first.read and (first.notes or not parts):
        parts.append(f"read in {names(first.read)}")
    if not parts:
        parts.append(f"assumed, from {names(first.assumed)}" if first.assumed else "not known")
    return ", ".join(parts) + "".join(f" ({note})" for note in first.notes)


def _with_note(key: Key) -> str:
    said = note(key)
    return f"`{key.name}` ({said})" if said else f"`{key.name}`"


def _first_sentence(text: str) -> str:
    return " ".join(text.partition("\n\n")[0].split())


def _path(path: PathRule) -> str:
    """Return a path as Markdown, with the conditions under which it applies."""
    when = " and ".join(f"`{key}` is {value}" for key, value in path.when)
    return f"`{path.template}`" + (f" where {when}" if when else "")
