"""Formats of an archive: which files it has besides the records, how its JSON is escaped, and who reads it.

A tree names its format. To add one, add an entry here. If `verify` should check its archives by the rules of an
importer, describe these in importers/<format>.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping

from project_export.formats.format import Escapes, Format, FromSetting, Limits
from project_export.formats.gitlab import GITLAB

PLAIN = Format("plain")
"""Records only, as plain JSON."""

FORMATS: Mapping[str, Format] = {format.name: format for format in (PLAIN, GITLAB)}
"""All formats, by the names that trees use."""

__all__ = ["FORMATS", "GITLAB", "PLAIN", "Escapes", "Format", "FromSetting", "Limits"]
