"""One relation's rows beside, keys and derived values, fitted to a live catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from project_export.tree.forms import ROOT, Beside, Condition, Derived, Elsewhere, Form, Key, Lookup, Ref, Source
from project_export.tree.gaps import Gaps
from project_export.tree.model import Relation

Absent = tuple[str, str]
"""A table and its column; without a column the table."""


class Fit:
    """The parts of a relation that a database has; what it lacks is recorded in `gaps`.

    root: the root's Fit, None for the root itself. beside: the rows beside that this database has.
    """

    def __init__(
        self, relation: Relation, path: str, catalogue: Mapping[str, Mapping[str, str]], gaps: Gaps, root: Fit | None
    ) -> None:
        self._own = relation
        self._path = path
        self._catalogue = catalogue
        self._gaps = gaps
        self._root = root
        self._tables = {row.name: row.table for row in relation.beside}
        self.beside: tuple[Beside, ...] = ()
        for row in relation.beside:
            if self._found(row):
                self.beside = (*self.beside, row)

    def key(self, key: Key) -> Key | None:
        """Return a key for the database's layout, without what it lacks; None if nothing is left."""
        where = f"{self._path}.{key.name}"
        for layout in key.layouts:
            lacking = [gap for form in layout.forms for gap in self._lacking(form)]
            if not lacking and not (self._catalogue.keys() & {*layout.without}):
                return self.key(layout)
            for table, column in lacking[:1]:
                self._gaps.add(where, table, column or None, key.line, spared=True)
        form = self._form(key.form, where, key.line)
        if form is None:
            return None
        cases = tuple(
            (when, bound)
            for when, case in key.cases
            if self.fulfillable(when, where, key.line) and (bound := self._form(case, where, key.line)) is not None
        )
        for ref in (ref for ref in (key.tip.refs if key.tip else ()) if not self._has(ref)):
            self._gaps.add(where, self._tables.get(ref.row, self._own.table), ref.column, key.line)
            return None
        elsewhere = key.elsewhere and self._elsewhere(key.elsewhere, where, key.line)
        if form is key.form and cases == key.cases and elsewhere is key.elsewhere and not key.layouts:
            return key  # nearly all are unchanged
        return replace(key, form=form, cases=cases, elsewhere=elsewhere, layouts=())

    def derived(self, name: str, value: Derived) -> Derived | None:
        """Return a derived value without what the database lacks; None if nothing is left."""
        own, where = self._own, f"{self._path}.{name}"
        if isinstance(value, Form):
            return self._form(value, where, own.line)
        there = self._catalogue.get(value.table, {})
        columns = [value.key, value.parent, *(condition.column for condition in value.where)]
        columns += [value.path] if value.path is not None else []
        absent = [(value.table, column) for column in columns if column not in there]
        if value.start not in self._catalogue[own.table]:
            absent.append((own.table, value.start))
        for table, column in absent[:1]:
            self._gaps.add(where, table, column, own.line, "the rows that join it")
        return None if absent else value

    def fulfillable(self, when: Iterable[Condition], where: str, line: int) -> bool:
        """Return whether the database has the columns that conditions read."""
        absent = [condition.ref for condition in when if not self._has(condition.ref)]
        for ref in absent:
            self._gaps.add(where, self._table(ref), ref.column or None, line, spared=True)
        return not absent

    def _found(self, row: Beside) -> bool:
        """Return whether a row beside can be found."""
        absent = list(self._absent_of_row(row))
        if absent and row.optional:
            self._gaps.spare(row.table)
        for table, column in absent[:1]:
            self._gaps.add(self._path, table, column or None, row.line, spared=True)
        return not absent

    def _has(self, ref: Ref) -> bool:
        """Return whether the database has the column or row of a reference."""
        if ref.row in self._tables and ref.row not in {row.name for row in self.beside}:
            return False
        if ref.row.partition(".")[0] == ROOT and ref.row not in self._tables and self._root is not None:
            return self._root._has(_of_root(ref))
        table = self._table(ref)
        return table in self._catalogue and (not ref.column or ref.column in self._catalogue[table])

    def _table(self, ref: Ref) -> str:
        """Return the table of the row that a reference names."""
        if ref.row in self._tables:
            return self._tables[ref.row]
        if ref.row and self._root is not None:
            return self._root._table(_of_root(ref))
        return self._own.table

    def _lacking(self, form: Form) -> list[Absent]:
        """Return what a form reads and the database lacks."""
        found = [gap for source in form.sources for gap in self._lacking_of(source)]
        if form.of is not None and not self._has(form.of):
            found.append((self._table(form.of), form.of.column))
        return found

    def _lacking_of(self, source: Source) -> Iterator[Absent]:
        if isinstance(source, Lookup):
            yield from self._absent_of_row(source.row)
            if source.value is not None and source.row.table in self._catalogue:
                there = Fit(Relation("", source.row.table), self._path, self._catalogue, self._gaps, self._root or self)
                yield from there._lacking_of(source.value)
        elif not self._has(source):
            yield self._table(source), source.column

    def _absent_of_row(self, row: Beside) -> Iterator[Absent]:
        """Yield what finding a row of another table needs and the database lacks."""
        there = self._catalogue.get(row.table, {})
        yield from ((row.table, column) for column in row.columns if column not in there)
        if not there:
            yield row.table, ""
        for _, refs in row.match:
            if not any(map(self._has, refs)):
                yield self._table(refs[0]), refs[0].column

    def _form(self, form: Form, where: str, line: int) -> Form | None:
        """Return a form without what the database lacks; None if nothing is left."""
        if form.constant is not None:
            return form
        lacking = self._lacking(form)
        if lacking:
            of = form.of if form.of is not None and self._has(form.of) else None
            sources = tuple(source for source in form.sources if not list(self._lacking_of(source)))
            for table, column in lacking:
                self._gaps.add(where, table, column or None, line, spared=bool(sources or of))
            if not sources and of is None:
                return None
            form = replace(form, sources=sources, of=of)
        return form if self.fulfillable(form.when, where, line) else None

    def _elsewhere(self, place: Elsewhere, where: str, line: int) -> Elsewhere | None:
        """Return where a value may be stored outside the database.

        Without the file if the source lacks what names it; None if it lacks the offset: older versions store all values
        in the database.
        """
        own = self._own.table
        if place.offset not in self._catalogue[own]:
            self._gaps.add(where, own, place.offset, line, spared=True)
            return None
        if not place.file:
            return place
        read = [(own, column) for column in (place.size, *(column for _, column in place.match))]
        read += [(place.table, column) for column in (*(other for other, _ in place.match), *place.columns)]
        absent = [(table, column) for table, column in read if column not in self._catalogue.get(table, {})]
        for table, column in absent[:1]:
            self._gaps.add(where, table, column, line, spared=True)
        return replace(place, file=(), when=()) if absent else place


def _of_root(ref: Ref) -> Ref:
    """Return a reference to the root as one in the root itself."""
    return Ref(ref.column, ref.row.removeprefix(ROOT).removeprefix("."))
