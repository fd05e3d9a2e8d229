"""The transforms of the tree `gitlab`: what GitLab's models make of stored values and SQL cannot express."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from project_export.coders import quick
from project_export.coders.general import Noted, Transform, plain
from project_export.coders.ruby import Indifferent, Instance, NotReadable, Symbol, inspected, load_yaml

_FILE = ("base_sha", "start_sha", "head_sha", "old_path", "new_path", "position_type")
_POSITIONS = {
    "file": _FILE,
    "image": (*_FILE, "width", "height", "x", "y"),
    "text": (*_FILE, "old_line", "new_line", "line_range"),
}
_POSITION = rb'"--- !ruby/object:Gitlab::Diff::Position\nattributes:\n'
_INSPECTED = ('{"', "{:")
_OTHER = "a value that is not a position was read as one; GitLab's model refuses it"
_LOST = "a value that is not a position was exported as null; GitLab's model refuses it"


def position(value: Any) -> Any:
    """Return the position of a note on a diff as its model does: a flat object, with nulls if none is stored.

    app/models/concerns/diff_positionable_note.rb and lib/gitlab/diff/position.rb: YAML of an object with `attributes`,
    whose keys are symbols. A text of Hash#inspect is recovered, other broken YAML is null. A hash that is not a
    position is read as its attributes, though the model refuses it.

    >>> stored = "--- !ruby/object:Gitlab::Diff::Position\\nattributes:\\n  :old_path: a.rb\\n  :position_type: file\\n"
    >>> list(position(stored).values())
    [None, None, None, 'a.rb', None, 'file']
    """
    try:
        stored = load_yaml(str(value)) if value is not None else None
    except NotReadable:
        return _recovered(str(value))
    if isinstance(stored, Instance):
        attributes = stored.get("attributes")
        if isinstance(attributes, dict):
            return _flat(attributes if isinstance(attributes, Indifferent) else _by_symbol(attributes))
        return Noted(_flat({}), _LOST, lost=True)
    if isinstance(stored, dict):
        return Noted(_flat(stored), _OTHER)
    return _flat({}) if stored is None or stored == "" else Noted(None, _LOST, lost=True)


def quick_position(stored: bytes) -> bytes | None:
    """Return what `position` makes of a value, both as JSON texts; None if its form is not a usual one."""
    if stored == b"null":
        return _NULLS
    return _usual_position(stored) if len(stored) <= quick.LONGEST else None


@lru_cache(maxsize=64)  # notes of one discussion have the same position, and often it is the original one as well
def _usual_position(stored: bytes) -> bytes | None:
    attributes = quick.mapping(stored, _POSITION, indent=2)
    if attributes is None:
        return None
    kind = attributes.get(b":position_type", b'"text"')
    names, template = _TEMPLATES.get(kind) or _TEMPLATES[b'"text"']
    return template % tuple([attributes.get(name, b"null") for name in names])


def _recovered(text: str) -> Any:
    try:
        stored = inspected(text) if text.startswith(_INSPECTED) else None
    except ValueError:
        stored = None
    return _flat(stored) if isinstance(stored, dict) else None


def _by_symbol(attributes: Mapping[Any, Any]) -> dict[Any, Any]:
    return {key: value for key, value in attributes.items() if isinstance(key, Symbol)}


def _flat(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    kind = attributes.get("position_type")
    if kind not in _POSITIONS or isinstance(kind, Symbol):  # the model compares with texts
        kind = "text"
    return {name: plain(attributes.get(name)) for name in _POSITIONS[kind]} | {"position_type": kind}


def _template(kind: str) -> tuple[tuple[bytes, ...], bytes]:
    """Return the names of the attributes in the JSON text of a position, and the text with a place for each."""
    values = [f'"{name}":' + (f'"{kind}"' if name == "position_type" else "%b") for name in _POSITIONS[kind]]
    names = tuple(b":" + name.encode() for name in _POSITIONS[kind] if name != "position_type")
    return names, f"{{{','.join(values)}}}".encode()


_TEMPLATES = {f'"{kind}"'.encode(): _template(kind) for kind in _POSITIONS}
_NULLS = _TEMPLATES[b'"text"'][1].replace(b"%b", b"null")


def text_colour(value: Any) -> str:
    """Return the colour of text on a label of this colour (lib/gitlab/color.rb): white if its contrast suffices.

    An invalid colour counts as dark.

    >>> text_colour("#428bca"), text_colour("#f0ad4e"), text_colour("blue")
    ('#FFFFFF', '#1F1E24', '#FFFFFF')
    """
    digits = re.fullmatch(r"#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})", value)
    if not digits:
        return "#FFFFFF"
    text = digits[1] if len(digits[1]) == 6 else "".join(digit * 2 for digit in digits[1])
    luminance = _luminance(*(int(text[i : i + 2], 16) for i in (0, 2, 4)))
    light = _contrast(luminance, 1.0)
    dark = _contrast(luminance, _luminance(31, 30, 36))
    return "#FFFFFF" if light >= 2.4 or light > dark else "#1F1E24"


def _luminance(red: int, green: int, blue: int) -> float:
    """Return the relative luminance by WCAG 2.1, with GitLab's threshold of 0.03928."""
    linear = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in (red / 255, green / 255, blue / 255))
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _contrast(one: float, other: float) -> float:
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


_SENTRY = re.compile(
    r"(?:[a-z][a-z0-9+.-]*:)?(?://[^/?#]*)?/api/0/projects/+(?:([^/?#]+)/+([^/?#]+)/*)?(?:[?#].*)?",
    re.IGNORECASE | re.DOTALL,
)
_ACRONYMS = {"ee": "EE", "jh": "JH", "csp": "CSP"}  # config/initializers/inflections.rb


def sentry_organization(value: Any) -> str | None:
    """Return the name of the organisation in the URL of a Sentry project (project_error_tracking_setting.rb).

    >>> sentry_organization("https://sentry.example.com/api/0/projects/acme-inc/web_front-end/")
    'Acme Inc'
    """
    found = _SENTRY.fullmatch(str(value).strip())
    return _titleized(found[1]) if found and found[1] else None


def sentry_project(value: Any) -> str | None:
    """Return the name of the project in the URL of a Sentry project.

    >>> sentry_project("https://sentry.example.com/api/0/projects/acme-inc/web_front-end/?a=1")
    'Web Front End'
    """
    found = _SENTRY.fullmatch(str(value).strip())
    return _titleized(found[2]) if found and found[2] else None


def _titleized(slug: str) -> str:
    """Return what String#titleize of Rails makes of a slug (activesupport inflector/methods.rb)."""
    text = slug.replace("::", "/")
    text = re.sub(r"([A-Z]+)(?=[A-Z][a-z])|([a-z\d])(?=[A-Z])", lambda found: f"{found[0]}_", text)
    text = text.replace("-", "_").lower()
    text = re.sub(r"_id$", "", text.lstrip("_")).replace("_", " ")
    text = re.sub(r"[a-z\d]+", lambda found: _ACRONYMS.get(found[0], found[0]), text)
    return re.sub(r"\b(?<!\w['\u2019`()])[a-z]", lambda found: found[0].upper(), text)


TRANSFORMS: Mapping[str, Transform] = {
    "position": Transform(position, of_null=True, structured=True, quick=quick_position),
    "sentry_organization": Transform(sentry_organization),
    "sentry_project": Transform(sentry_project),
    "text_colour": Transform(text_colour),
}
