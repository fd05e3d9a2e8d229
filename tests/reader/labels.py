"""The colours of labels (base_label.rb, lib/gitlab/color.rb)."""

from __future__ import annotations

import re

from tests.reader.database import Database, Row
from tests.reader.ruby import SPACE

DEFAULT_COLOUR = "#6699cc"
"""concerns/base_label.rb"""


def colour(_: Database, row: Row, __: str) -> str:
    """The colour type strips white space; names of colours stay names (database/type/color.rb)."""
    return DEFAULT_COLOUR if row["color"] is None else row["color"].strip(SPACE)


def text_colour(db: Database, row: Row, key: str) -> str:
    """Light text, unless dark text has much more contrast on the label's colour (lib/gitlab/color.rb)."""
    return contrasting(colour(db, row, key))


def contrasting(background: str) -> str:
    """Return the colour of text on a background; a background that is not a colour counts as dark."""
    if not re.fullmatch(r"#(?:[0-9A-Fa-f]{3}){1,2}", background):
        return "#FFFFFF"
    light, dark = contrast(background, "#FFFFFF"), contrast(background, "#1F1E24")
    return "#FFFFFF" if light >= 2.4 or light > dark else "#1F1E24"


def contrast(one_: str, other: str) -> float:
    """Return the contrast of two colours by WCAG 2.1."""
    darker, lighter = sorted((luminance(one_), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(of: str) -> float:
    """Return the relative luminance of a colour by WCAG 2.1, with sRGB's old threshold."""
    digits = of[1:] if len(of) == 7 else "".join(digit * 2 for digit in of[1:])
    channels = [int(digits[start : start + 2], 16) / 255 for start in (0, 2, 4)]
    red, green, blue = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
