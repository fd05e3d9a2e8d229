"""The values of a table row itself, in its document: what transforms and the request's parameters make of them.

Of a record that needs a transform, only that value is parsed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from project_export.coders import exact, spliced
from project_export.errors import SourceRefused
from project_export.external import Locations
from project_export.source.batches import Alone, Batches, Making, Row
from project_export.source.dues import Change, Dues, Step
from project_export.source.node import Node
from project_export.source.values import BLANK, ELSEWHERE, HEAD, LOST, SPACES, TIP
from project_export.tree import Key
from project_export.tree.transforms import TRANSFORMS, Noted

CUT = "a value that is stored outside the database is cut short there"


class Branches(Protocol):
    """The branches of a repository at one moment. default: None if it has none. tips: their last commits, by name."""

    @property
    def default(self) -> str | None:
        """The default branch."""

    @property
    def tips(self) -> Mapping[str, str]:
        """The last commit of each branch."""


ReadBranches = Callable[[str], Branches | None]
"""Returns the branches of the repository of a relation; None if nothing says where it is."""


class Own:
    """Makes the documents of table rows without their nested relations.

    batches: count what is noted. parameters, locations, branches: see `Documents`.
    """

    def __init__(
        self, batches: Batches, parameters: Mapping[str, Any], locations: Locations, branches: ReadBranches
    ) -> None:
        self._batches = batches
        self._parameters = parameters
        self._locations = locations
        self._branches = branches
        self._known: dict[str, Branches | None] = {}

    def look_up(self, node: Node, rows: Sequence[Row]) -> Making[None]:
        """Read the branches that these rows need."""
        for repository in self._unknown(node, rows):
            self._known[repository] = yield Alone(partial(self._branches, repository))

    def documents(self, node: Node, rows: Sequence[Row]) -> list[bytes]:
        """Return the documents of rows without nested relations, transformed."""
        documents = [row[-1] for row in rows]
        if node.select.flagged:
            at = node.flags_at
            documents = [row[-1] if not row[at] else self._looked_at(node, row) for row in rows]
        return self._replaced(node.parameters, documents)

    def after(self, node: Node, rows: Sequence[Row]) -> list[bytes]:
        """Return the part of each row's document that comes after the nested relations."""
        if not node.last:
            return [b"}"] * len(rows)
        texts = [row[-2] for row in rows]
        if node.due_after:
            texts = [
                self._transformed_in(node, row, text, node.due_after) for row, text in zip(rows, texts, strict=True)
            ]
        return [b"," + text[1:] for text in self._replaced(node.parameters_after, texts)]

    def changes(self, node: Node, row: Row) -> dict[str, Change]:
        """Return by key what has to be done to the values of a row; count what its flags say.

        Of keys that come after nested relations, nothing.
        """
        if not node.select.flagged:
            return {}
        self._look(node, row)
        return {change.key: change for change in node.due.demanded(row[node.flags_at])}

    def changed(self, node: Node, row: Row, change: Change, stored: bytes) -> bytes:
        """Return the JSON text that a change makes of a value. Raises SourceRefused."""
        try:
            made = None if change.quick is None else change.quick(stored)
            return self._made(f"{node.path}.{change.key}", change.steps, stored) if made is None else made
        except (ValueError, TypeError, RecursionError) as error:
            where = f"{node.path}.{change.key} of the row with {node.row_described(row)}"
            raise SourceRefused(f"{where}: {error}. Repair the row, or remove the key from the tree.") from error

    def found(self, path: str, location: str, file: str | None, offset: int | None, size: int | None) -> bool:
        """Return whether a value that is stored outside the database is there; count it if it is cut short."""
        if file is None or offset is None or size is None or offset < 0:
            return False
        if self._locations.read(location, file, offset, 1) is None:
            return False
        if not self._locations.read(location, file, offset + size - 1, 1):
            self._count(f"{path}: {CUT}", lost=True)
        return True

    def pieces(self, location: str, file: str, offset: int, size: int, *, piece: int) -> Iterator[bytes]:
        """Yield such a value in pieces of `piece` bytes."""
        for at in range(offset, offset + size, piece):
            data = self._locations.read(location, file, at, min(piece, offset + size - at))
            if not data:
                return
            yield data

    def _looked_at(self, node: Node, row: Row) -> bytes:
        """Return a row's document as its flags demand: values transformed, codes without a name counted."""
        self._look(node, row)
        return self._transformed_in(node, row, row[-1], node.due)

    def _look(self, node: Node, row: Row) -> None:
        flags = row[node.flags_at]
        for bit, note, lost in node.select.noted:
            if flags & bit:
                self._count(f"{node.path}.{note}", lost=lost)

    def _transformed_in(self, node: Node, row: Row, text: bytes, dues: Dues) -> bytes:
        """Return a JSON text of a row with the transforms done that its flags demand."""
        pieces: list[bytes] = []
        done = 0
        for change in dues.demanded(row[node.flags_at]):
            try:
                start, end = spliced.found(text, change.key)
            except ValueError as error:
                where = f"{node.path}.{change.key} of the row with {node.row_described(row)}"
                raise SourceRefused(f"{where}: {error}") from error
            pieces += text[done:start], self.changed(node, row, change, text[start:end])
            done = end
        return b"".join((*pieces, text[done:]))

    def _made(self, path: str, steps: Sequence[Step], stored: bytes) -> bytes:
        """Return what transforms make of a value, one after the other, each with its default; both as JSON texts."""
        value = exact.read(stored.decode())
        for transform, default in steps:
            if transform == ELSEWHERE:
                value = self._fetched(path, **value)
            elif transform.startswith((TIP, HEAD)):
                value = self._from_git(path, transform, value)
            elif transform == BLANK:
                value = None if isinstance(value, str) and not value.strip(SPACES) else value
            elif transform in TRANSFORMS and (value is not None or TRANSFORMS[transform].of_null):
                value = self._transformed(path, transform, value)
            if value is None and default is not None:
                value = exact.read(default)
        if isinstance(value, (dict, list)):
            return exact.write([value])[1:-1]  # no deeper than JSON can be written of the whole record
        return exact.write(value)

    def _transformed(self, path: str, transform: str, value: Any) -> Any:
        """Return what a transform makes of a value; count its note."""
        made = TRANSFORMS[transform].function(value)
        if not isinstance(made, Noted):
            return made
        self._count(f"{path}: {made.note}", lost=made.lost)
        return made.value

    def _count(self, note: str, *, lost: bool) -> None:
        batch = self._batches.current
        (batch.omissions if lost else batch.oddities)[note] += 1

    def _fetched(self, path: str, location: str, file: str | None, offset: int | None, size: int | None) -> str | None:
        """Return a value that is stored outside the database. Of one that is cut short, return what there is; count it.

        GitLab does the same (merge_request_diff_file.rb#utf8_diff): it logs the error, and the text is empty.
        """
        data = None
        if file is not None and offset is not None and size is not None and offset >= 0 <= size:
            data = self._locations.read(location, file, offset, size)
        if data is None:
            self._count(f"{path}: {LOST}: there is no such file", lost=True)
            return None
        if len(data) != size:
            self._count(f"{path}: {CUT}", lost=True)
        self._batches.current.take(len(data))
        return data.decode("utf-8", "replace")

    def _from_git(self, path: str, transform: str, value: Any) -> Any:
        """Return the commit of a branch, or the default branch; null, and count it, if the repository is not known."""
        repository = transform.partition(":")[2]
        if repository not in self._known:
            self._known[repository] = self._branches(repository)
        branches = self._known[repository]
        if branches is None:
            self._count(
                f"{path}: comes from the Git repository, which is missing, or whose location is not set", lost=True
            )
            return None
        return branches.tips.get(value) if transform.startswith(TIP) else branches.default or value

    def _unknown(self, node: Node, rows: Sequence[Row]) -> list[str]:
        """Return the repositories whose branches these rows need, and which have not been read."""
        wanted: dict[str, int] = {}
        for bit, _, transform, _ in node.select.transforms:
            repository = transform.partition(":")[2]
            if transform.startswith((TIP, HEAD)) and repository not in self._known:
                wanted[repository] = wanted.get(repository, 0) | bit
        return [name for name, bits in wanted.items() if any(row[node.flags_at] & bits for row in rows)]

    def _replaced(self, keys: Sequence[Key], texts: list[bytes]) -> list[bytes]:
        """Return JSON texts of records with the values of the request's parameters."""
        given = self.given(keys)
        if not given:
            return texts
        return [exact.write({**exact.read(text.decode()), **given}) for text in texts]

    def given(self, keys: Sequence[Key]) -> dict[str, Any]:
        """Return the values that parameters give to these keys, by key."""
        found: dict[str, Any] = {}
        for key in keys:
            value = self._parameters.get(key.parameter or "")
            if value is not None:
                found[key.name] = value if key.wrap is None else {key.wrap: value}
        return found
