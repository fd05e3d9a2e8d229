"""The forms of values in an archive, by the tree."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from project_export.archive.importer import Importer
from project_export.tree import Key, Lookup, Relation, Tree
from project_export.tree import forms as tree_forms
from project_export.tree.transforms import TRANSFORMS

# Rails writes a year before Christ with a minus; the importer's parser, Ruby's Date._parse, accepts it.
_DATE = r"-?\d{4,}-\d\d-\d\d"
_TIME = re.compile(_DATE + r"T\d\d:\d\d:\d\d\.\d{3}(Z|[+-]\d\d:\d\d)")
_OBJECT_ID = re.compile(r"([0-9a-f]{40}|[0-9a-f]{64})?")


@dataclass(frozen=True)
class Form:
    """The form of a key's values: their JSON types, and the pattern of texts. Null is always allowed."""

    what: str
    types: frozenset[type]
    pattern: re.Pattern[str] | None = None

    def fits(self, value: Any) -> bool:
        """Return whether a value other than null has this form."""
        if type(value) not in self.types:
            return False
        return self.pattern is None or not isinstance(value, str) or self.pattern.fullmatch(value) is not None


TEXT = Form("a text", frozenset({str}))
NAME = Form("the name of a code", frozenset({str}), re.compile(r"(?!\d+$).*", re.DOTALL))
INTEGER = Form("an integer", frozenset({int}))
# If the importer has names for codes, a small integer may be one of them.
CODE = Form("an integer or a name", frozenset({int, str}), re.compile(r"[a-z]\w*"))
NUMBER = Form("a number", frozenset({int, float}))
BOOLEAN = Form("true or false", frozenset({bool}))
ARRAY = Form("an array", frozenset({list}))
OBJECT = Form("an object", frozenset({dict}))
STRUCTURE = Form("an object or an array", frozenset({dict, list}))
HEX = Form("lower-case hexadecimal digits", frozenset({str}), re.compile(r"([0-9a-f]{2})*"))
SHA = Form("the id of a Git object", frozenset({str}), _OBJECT_ID)
TIME = Form("a time like 2017-08-29T04:36:44.383Z", frozenset({str}), _TIME)
DATE = Form("a date like 2017-08-29", frozenset({str}), re.compile(_DATE))

_BY_TYPE = {
    "bigint": INTEGER,
    "integer": INTEGER,
    "smallint": INTEGER,
    "double precision": NUMBER,
    "real": NUMBER,
    "numeric": NUMBER,
    "boolean": BOOLEAN,
    "text": TEXT,
    "character varying": TEXT,
    "character": TEXT,
    "bytea": HEX,
    "timestamp without time zone": TIME,
    "timestamp with time zone": TIME,
    "date": DATE,
}

# By the type of a request's parameter.
_BY_PARAMETER: Mapping[str, Form] = {"string": TEXT, "integer": INTEGER, "number": NUMBER, "boolean": BOOLEAN}


def form_of(tree: Tree, relation: Relation, key: Key, importer: Importer) -> Form | None:
    """Return the form of a key's values; None if they may have several forms."""
    if key.wrap is not None:
        return OBJECT
    variants = (key, *(variant for _, variant in key.editions))
    forms = {_form(tree, relation, key.name, form, importer) for variant in variants for form in variant.forms}
    if key.parameter is not None:
        forms.add(_BY_PARAMETER[tree.parameters[key.parameter].type])
    return forms.pop() if len(forms) == 1 else None


def _form(tree: Tree, relation: Relation, name: str, form: tree_forms.Form, importer: Importer) -> Form | None:
    found = _undefaulted(tree, relation, name, form, importer)
    stand_ins = [json.loads(text) for text in (form.default, form.absent) if text is not None]
    return found if found and all(value is None or found.fits(value) for value in stand_ins) else None


def _undefaulted(tree: Tree, relation: Relation, name: str, form: tree_forms.Form, importer: Importer) -> Form | None:
    if form.constant is not None:
        return TEXT if form.constant.startswith('"') else None
    if form.enum is not None:
        return NAME
    if form.transform is not None and not form.when:
        return STRUCTURE if TRANSFORMS[form.transform].structured else TEXT
    if form.transform is not None and TRANSFORMS[form.transform].structured:
        return None
    table, column = _column(relation, form)
    sql_type = tree.known.get(table, {}).get(column, "")
    if sql_type.endswith("[]"):
        return ARRAY
    if importer.object_ids and importer.object_ids.search(name):
        return SHA
    found = _BY_TYPE.get(re.sub(r"\(\d+\)", "", sql_type))
    return CODE if importer.named_codes and sql_type == "smallint" else found


def _column(relation: Relation, form: tree_forms.Form) -> tuple[str, str]:
    """Return the table and column that a form reads first."""
    source: tree_forms.Source | None = form.of or (form.sources[0] if form.sources else None)
    table = relation.table
    while isinstance(source, Lookup):
        table, source = source.row.table, source.value
    if source is None:
        return table, ""
    beside = {row.name: row.table for row in relation.beside}
    return beside.get(source.row, table), source.column
