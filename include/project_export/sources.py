"""Several sources: the connection ids of the databases that may be exported from, and the settings of each.

A source takes each setting from its own variable, `PROJECT_EXPORT_<SETTING>__<SOURCE>`, else from where every source
takes it.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from project_export.errors import BadRequest, SettingRefused, listed, nearest
from project_export.settings import ENVIRONMENT_ONLY, PER_SOURCE, SHARED, Layer, Settings
from project_export.variables import own, own_values, suffix, variable


@dataclass(frozen=True)
class Sources:
    """The sources of an installation. default: of requests that name none. others: in the order of the setting."""

    default: str
    others: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: Settings) -> Sources:
        """Return the sources that settings allow. Raises SettingRefused, which lists everything that is wrong."""
        default = settings.source_conn_id
        names = (name.strip() for name in settings.sources.split(","))
        found = cls(default, tuple(name for name in dict.fromkeys(names) if name and name != default))
        problems = list(found._problems())
        if problems:
            raise SettingRefused(listed("settings of sources cannot be used", problems))
        return found

    @property
    def all(self) -> tuple[str, ...]:
        """All of them, the default one first."""
        return (self.default, *self.others)

    def chosen(self, name: str | None) -> str:
        """Return the source that a request names, the default one if it names none. Raises BadRequest."""
        if not name:
            return self.default
        if name not in self.all:
            raise BadRequest(f"source {name} is unknown; {nearest(name, self.all)}")
        return name

    def settings(self, source: str, *layers: Layer) -> Settings:
        """Return the settings of a source. layers: as of `Settings.over`. Raises SettingRefused."""
        return Settings.over(*layers, source=source).model_copy(update={"source_conn_id": source})

    def _problems(self) -> Iterator[str]:
        suffixes = {suffix(name): name for name in self.all}
        for ending, times in Counter(map(suffix, self.all)).items():
            if times > 1:
                yield f"several sources share the variables that end with __{ending}: rename one of them"
        for one in own():
            if one.name not in Settings.model_fields:
                yield f"{one.variable} names no setting; {nearest(one.name, Settings.model_fields)}"
            elif one.suffix not in suffixes:
                yield f"{one.variable} is for no source: {variable('sources')} does not name it"
            elif one.name in SHARED:
                yield f"{one.variable} is not allowed, since all sources share it: set {variable(one.name)}"
        for source in self.others:
            for name in sorted(PER_SOURCE - own_values(source).keys()):
                if os.environ.get(variable(name)):
                    yield (
                        f"{variable(name)} is for {self.default} only: set {variable(name, source)} as well, "
                        "to nothing if it has none"
                    )


def handed_over(values: Mapping[str, Any]) -> Settings:
    """Return the settings that another process had for a source, with what only this environment may set.

    values: of the other process, without ENVIRONMENT_ONLY; the connection id of the source among them.
    """
    fields, its = Settings.model_fields, own_values(values["source_conn_id"])
    guards = {name: value or fields[name].default for name, value in its.items() if name in ENVIRONMENT_ONLY}
    return Settings(**{**guards, **values})
