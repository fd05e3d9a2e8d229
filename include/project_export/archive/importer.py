"""What an importer does with an archive's records: its models, and its rules for names of keys in any relation.

The rules are data, importers/<importer>.yaml. They do not depend on the tree that exported the records. A format
without an importer has no rules.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from project_export.archive.findings import Version
from project_export.archive.models import Check, Model
from project_export.archive.positions import Positions

SHIPPED = Path(__file__).parent.parent / "importers"

# LibYAML's loader is nine times as fast.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Importer:
    """An importer's models, by relation, and its rules for all relations.

    yaml: keys whose values it stores as YAML, which may contain U+0000. stripped: keys of texts from which it removes
    U+0000. free: keys of JSON that users define. unique: keys whose values are unique within a top-level relation.
    named_codes: whether small integers may be names. object_ids, times: keys of ids of Git objects, and of times.
    prohibited: keys that it drops unless a relation names them. secrets: keys that look like those of secrets.
    allow_lists: the first version in which each relation has a list of keys; older archives may have more keys.
    no_empty_files: the first version in which a relation of many without records has no file.
    """

    models: Mapping[str, Model] = field(default_factory=dict)
    yaml: frozenset[str] = frozenset()
    stripped: frozenset[str] = frozenset()
    free: frozenset[str] = frozenset()
    unique: frozenset[str] = frozenset()
    named_codes: bool = False
    object_ids: re.Pattern[str] | None = None
    times: re.Pattern[str] | None = None
    prohibited: re.Pattern[str] | None = None
    secrets: re.Pattern[str] | None = None
    allow_lists: Version = ()
    no_empty_files: Version = ()
    keys: frozenset[str] = frozenset()

    def drops(self, key: str, allowed: Container[str]) -> bool:
        """Return whether the importer drops a key because of its name, although its relation does not name it.

        allowed: all keys that any relation names; they include the references that are accepted everywhere. An id is
        accepted only if its relation names it.
        """
        if self.prohibited is None:
            return False
        return key == "id" or (key not in allowed and self.prohibited.fullmatch(key) is not None)

    def secret(self, key: str) -> bool:
        """Return whether a key looks like that of a secret."""
        return self.secrets is not None and self.secrets.search(key) is not None


@lru_cache(maxsize=8)
def importer(name: str) -> Importer:
    """Return the importer of this name, or one without rules if the name is empty."""
    if not name:
        return Importer()
    data = yaml.load((SHIPPED / f"{name}.yaml").read_text(encoding="utf-8"), _LOADER)
    positions = Positions.read(data["positions"])
    known = {relation: _model(relation, entry, data, positions) for relation, entry in data["relations"].items()}
    named = {key for model in known.values() for key in (*model.checks, *model.nested)}
    return Importer(
        known,
        **{name: frozenset(data[name]) for name in ("yaml", "stripped", "free", "unique")},
        named_codes=data["named_codes"],
        object_ids=re.compile(data["object_ids"]),
        times=re.compile(data["times"]),
        prohibited=re.compile(data["prohibited"], re.DOTALL),
        secrets=re.compile(data["secrets"], re.IGNORECASE),
        allow_lists=tuple(data["allow_lists"]),
        no_empty_files=tuple(data["no_empty_files"]),
        keys=frozenset(named),
    )


def _model(name: str, entry: Mapping[str, Any], data: Mapping[str, Any], positions: Positions) -> Model:
    ends = entry.get("fails") == "import"

    def names(of: Any) -> frozenset[str | int] | None:
        return None if of is None else frozenset(data["enums"][of] if isinstance(of, str) else of)

    def check(key: str) -> Check | None:
        named = entry.get("names", {}).get(key)
        codes = entry.get("codes", {}).get(key)
        objects = entry.get("objects", {}).get(key)
        between = entry.get("between", {}).get(key)
        like = entry.get("like", {}).get(key)
        made = Check(
            names=names(named),
            codes=names(codes),
            former=frozenset(data["former"].get(named, ()) if isinstance(named, str) else ()),
            longest=entry.get("longest", {}).get(key),
            cut=entry.get("cut", {}).get(key),
            between=(between[0], between[1]) if between else None,
            like=re.compile(like) if like else None,
            filled=key in entry.get("filled", ()),
            keys={one: names(of) for one, of in objects.items()} if objects else None,
        )
        return None if made == Check() else made

    return Model(
        name=name,
        checks={key: check(key) for key in (*entry["keys"], *entry.get("objects", {}))},
        nested=frozenset(entry.get("nested", ())),
        ignored=frozenset(entry.get("ignored", ())),
        rejected=frozenset(entry.get("rejected", ())),
        loss="the whole import fails" if ends else "the importer drops the record",
        needs=tuple(entry.get("needs", {}).items()),
        either=tuple(entry.get("either", ())),
        above=tuple(entry.get("above", {}).items()),
        ends=ends,
        positions=positions if name in positions.relations else None,
    )
