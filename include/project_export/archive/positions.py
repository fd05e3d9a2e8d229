"""Positions of notes in a diff: the form that the importer expects, and when they are complete."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_DROPPED = "the importer drops the note"
_RAISES = "it makes the importer fail and drop the whole line"
_KIND = "position_type"


@dataclass(frozen=True)
class Positions:
    """The rules for positions. The importer's data explains each field."""

    relations: frozenset[str]
    type: str
    complete: str
    replaced: str
    free: str
    shas: tuple[str, ...]
    paths: tuple[str, ...]
    common: frozenset[str]
    also: frozenset[str]
    kinds: Mapping[str, Mapping[str, list[str]]]
    texts: Mapping[str, int]
    numbers: tuple[str, ...]
    range: str
    range_keys: frozenset[str]
    line_keys: frozenset[str]
    old_range_keys: tuple[str, ...]
    line_code: str
    note_types: frozenset[str]
    structures: Mapping[str, str]

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Positions:
        """Return the rules in the importer's data."""
        sets = {
            name: frozenset(data[name])
            for name in ("relations", "common", "also", "range_keys", "line_keys", "note_types")
        }
        tuples = {name: tuple(data[name]) for name in ("shas", "paths", "numbers", "old_range_keys")}
        return cls(**{**data, **sets, **tuples})

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of a note that hold positions."""
        return self.complete, self.replaced, self.free

    @property
    def handled(self) -> frozenset[str]:
        """The keys of a note whose form depends on its type."""
        return frozenset((*self.keys, *self.structures))

    def faults(self, note: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
        """Yield code, key and message of what is wrong with the positions of a note."""
        kind = note.get("type")
        for key, structured in self.structures.items():
            if kind != structured and isinstance(note.get(key), dict | list):
                yield (
                    "position",
                    key,
                    f"a structure, but the note is not a {structured}; it is stored as Ruby prints it",
                )
        if kind != self.type:
            for key in self.keys:
                value = note.get(key)
                if value is not None and not isinstance(value, str):
                    yield (
                        "position",
                        key,
                        f"not a text, but the note is not a {self.type}; it is stored as Ruby prints it",
                    )
            return
        whole = False
        for key in self.keys:
            value = note.get(key)
            found = self._position(value) if value is not None else None
            if value is None and key == self.complete and key in note:
                found = ("unfit", f"null; {_DROPPED}")
            whole = whole or (key == self.complete and value is not None and found is None)
            if found is None or (key == self.free and found[0] == "unfit"):
                continue
            code, message = found
            if key == self.replaced and whole and code == "unfit":
                message = message.replace(_DROPPED, f"the importer uses {self.complete} instead")
            yield code, key, message
        yield from self._note(note)

    def _note(self, note: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
        """Yield what is wrong with the rest of a note with positions: its line code, and whether it can have a diff."""
        position = note.get(self.complete)
        on_line = isinstance(position, dict) and any(position.get(key) is not None for key in self.numbers)
        if on_line and self.line_code in note and not note[self.line_code]:
            yield "unfit", self.line_code, f"empty in a note on a line; {_DROPPED}"
        about = note.get("noteable_type")
        if isinstance(about, str) and about not in self.note_types:
            yield "unfit", "noteable_type", f"a {self.type} cannot belong to it; {_DROPPED}"

    def _position(self, value: Any) -> tuple[str, str] | None:
        """Return code and message of what is wrong with a position, or None.

        It is a problem, and not a warning, if no row of the source could have caused it.
        """
        if not isinstance(value, dict):
            return "position", f"not an object; {_RAISES}"
        kind = value.get(_KIND)
        if kind is not None and (not isinstance(kind, str) or kind not in self.kinds):
            return "position", f"a {_KIND} that the importer does not know; it reads it as another type"
        fields = self.kinds[kind or "text"]
        keys = (*self.shas, *fields.get("all_of", ()))
        either = [keys for keys in (self.paths, tuple(fields.get("one_of", ()))) if keys]
        lacking = [key for key in keys if value.get(key) is None]
        lacking += [" or ".join(keys) for keys in either if all(value.get(key) in (None, "") for key in keys)]
        unknown = [key for key in value if key not in self.common and key not in fields.get("keys", ())]
        unknown = [key for key in unknown if key not in self.also]
        if lacking:
            absent = unknown or any(key not in value for key in (*keys, *(key for keys in either for key in keys)))
            having = f" and has {', '.join(unknown)}" if unknown else ""
            return "position" if absent else "unfit", f"incomplete: it lacks {', '.join(lacking)}{having}; {_DROPPED}"
        if unknown:
            return "dropped", f"with {', '.join(unknown)}, which the importer does not know and drops"
        return self._values(value) or self._range(value.get(self.range))

    def _values(self, value: Mapping[str, Any]) -> tuple[str, str] | None:
        for key, longest in self.texts.items():
            one = value.get(key)
            if one is not None and (not isinstance(one, str) or len(one) > longest):
                return "unfit", f"{key} is not a text of at most {longest} characters; {_DROPPED}"
        for key in self.numbers:
            one = value.get(key)
            if one is not None and (not isinstance(one, int) or isinstance(one, bool)):
                return "unfit", f"{key} is not an integer; {_DROPPED}"
        return None

    def _range(self, value: Any) -> tuple[str, str] | None:
        if value is None:
            return None
        if not isinstance(value, dict):
            return "position", f"{self.range} is not an object; {_RAISES}"
        first, second, *_ = self.old_range_keys
        if value.get(first):
            if isinstance(value[first], str) and isinstance(value.get(second), str):
                return None
            return "position", f"{self.range} has no texts {first} and {second}; {_RAISES}"
        ends = [value.get(key) for key in self.range_keys]
        if value.keys() - self.range_keys or not all(isinstance(end, dict) for end in ends):
            return "position", f"{self.range} is not an object of {' and '.join(sorted(self.range_keys))}; {_DROPPED}"
        if any(end.keys() - self.line_keys for end in ends if end is not None):
            return "position", f"{self.range} has keys that the importer does not know; {_DROPPED}"
        return None
