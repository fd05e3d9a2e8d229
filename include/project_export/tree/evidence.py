"""How the keys of a tree are known: seen in real exports, read in the application's source, or assumed.

A tree file names its evidence (`evidence: gitlab-evidence.tsv`), a TSV. Keys that are known alike share a line:

    how      path          where                      keys           note
    seen     issues.notes  13.5 17.1                  note system    real exports of these versions have it here
    read     issues.notes  app/models/note.rb@1a2b3c  discussion_id  read in this file, at this commit if it is known
    read     labels        app/models/label.rb        *              the whole model was read
    assumed  *             config.yml                 *              what is not known of single keys
    gone     issues        config.yml@1a2b3c          external_key   exported once; why the tree lacks it

`*` as keys: every key that is a column of the table, and every nested relation, unless a line names it. `*` as path:
every relation. What is known of a relation is known of all relations of the same table, so that a record that appears
in several places needs one line only; but "seen" counts for the relation in which it was seen.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from project_export.errors import TreeError
from project_export.tree.model import Relation, Tree

HEAD = ("how", "path", "where", "keys", "note")
HOW = ("seen", "read", "assumed", "gone")
ANY = "*"

_VERSION = re.compile(r"\d+\.\d+")
_FILE = re.compile(r"[\w./-]+\.\w+(@[0-9a-f]{8,40})?")


@dataclass(frozen=True)
class Row:
    """One line: how these keys of the relation at a dotted path are known, and from where (versions or files)."""

    how: str
    path: str
    where: tuple[str, ...]
    keys: tuple[str, ...]
    note: str
    line: int = 0


@dataclass(frozen=True)
class Known:
    """How one key of one relation is known.

    seen: versions of real exports in which this relation has it
    alike: versions in which other relations of the table have it, by dotted path
    read: files in which it was read; assumed: files from which it is assumed
    notes: notes on this key
    """

    seen: tuple[str, ...] = ()
    alike: tuple[tuple[str, tuple[str, ...]], ...] = ()
    read: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def how(self) -> str:
        """The best evidence: seen, alike (seen elsewhere), read, assumed, or an empty text."""
        found = (("seen", self.seen), ("alike", self.alike), ("read", self.read), ("assumed", self.assumed))
        return next((how for how, there in found if there), "")


def rows(tree: Tree) -> tuple[Row, ...]:
    """Return the evidence that a tree names, nothing if it names none. Raises TreeError with file and line."""
    return read(Path(tree.evidence)) if tree.evidence else ()


def read(path: Path) -> tuple[Row, ...]:
    """Return the lines of an evidence file. Raises TreeError with file and line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TreeError(f"{path}: evidence that cannot be read: {error}") from error
    kept = [(number, line) for number, line in enumerate(lines, start=1) if line and not line.startswith("#")]
    if not kept or tuple(kept[0][1].split("\t")) != HEAD:
        raise TreeError(f"{path}: the first line must name the columns {', '.join(HEAD)}, separated by tabs")
    return tuple(_row(path, number, line) for number, line in kept[1:])


def _row(path: Path, number: int, line: str) -> Row:
    cells = next(csv.reader([line], delimiter="\t", quoting=csv.QUOTE_NONE))
    if len(cells) != len(HEAD):
        raise TreeError(f"{path}:{number}: {len(cells)} columns, not the {len(HEAD)} of {', '.join(HEAD)}")
    how, place, where, keys, note = cells
    row = Row(how, place, tuple(where.split()), tuple(keys.split()), note, number)
    if how not in HOW:
        raise TreeError(f"{path}:{number}: how is {how!r}, not one of {', '.join(HOW)}")
    form = _VERSION if how == "seen" else _FILE
    if not row.where or not all(form.fullmatch(one) for one in row.where):
        what = (
            "versions like 17.10" if how == "seen" else "files like app/models/note.rb or app/models/note.rb@1a2b3c4d"
        )
        raise TreeError(f"{path}:{number}: where is {where!r}, not {what}")
    if not row.path or not row.keys:
        raise TreeError(f"{path}:{number}: path or keys are missing")
    return row


def names(relation: Relation) -> tuple[str, ...]:
    """Return the keys of a relation's records, including nested relations."""
    return (*(key.name for key in relation.keys), *(child.name for child in relation.children))


def _number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


class Evidence:
    """What is known of the keys of one tree, including all optional relations."""

    def __init__(self, tree: Tree) -> None:
        self.rows = rows(tree)
        self.places = dict(tree.extended().walk())
        self._known = tree.known
        self._seen: dict[tuple[str, str], tuple[str, ...]] = {}
        self._said: dict[tuple[str, str], list[Row]] = {}
        for row in self.rows:
            table = self.places[row.path].table if row.path in self.places else row.path
            for key in row.keys:
                if row.how == "seen":
                    self._seen[row.path, key] = (*self._seen.get((row.path, key), ()), *row.where)
                elif row.how != "gone":
                    self._said.setdefault((table, key), []).append(row)

    def of(self, path: str, name: str) -> Known:
        """Return how a key of the relation at a dotted path is known."""
        relation = self.places[path]
        own = self._said.get((relation.table, name), [])
        any_key = name in self._known.get(relation.table, {}) or any(child.name == name for child in relation.children)
        said = own or self._said.get((relation.table, ANY), []) * any_key or self._said.get((ANY, ANY), []) * any_key
        elsewhere = [
            (other, self._seen[other, name])
            for other, place in self.places.items()
            if other != path and place.table == relation.table and (other, name) in self._seen
        ]
        return Known(
            self._seen.get((path, name), ()),
            tuple(elsewhere),
            tuple(dict.fromkeys(file for row in said if row.how == "read" for file in row.where)),
            tuple(dict.fromkeys(file for row in said if row.how == "assumed" for file in row.where)),
            tuple(row.note for row in own if row.note),
        )

    def each(self) -> Iterator[tuple[str, str, Known]]:
        """Yield every key of every relation: dotted path, name, how it is known."""
        for path, relation in self.places.items():
            for name in names(relation):
                yield path, name, self.of(path, name)

    def span(self, versions: Sequence[str]) -> str:
        """Return versions as text; three or more that follow each other in the evidence become `first to last`."""
        every = sorted({one for found in self._seen.values() for one in found}, key=_number)
        runs: list[list[str]] = []
        for version in sorted(versions, key=_number):
            if runs and every.index(version) == every.index(runs[-1][-1]) + 1:
                runs[-1].append(version)
            else:
                runs.append([version])
        return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(run) for run in runs)

    def counts(self) -> Counter[str]:
        """Return how many keys are known in which way (`Known.how`), each place counted."""
        return Counter(known.how for _, _, known in self.each())
