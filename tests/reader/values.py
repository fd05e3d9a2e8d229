"""How Rails writes values: a column's value without a getter, and a record as a line of JSON."""

from __future__ import annotations

import json
import math
from datetime import date, datetime, timezone
from typing import Any

HTML = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
"""What ActiveSupport::JSON escapes."""


def stored(raw: Any) -> Any:
    """Return a column's value as it appears in JSON: times in UTC, truncated to three decimals, bytes as hex."""
    if isinstance(raw, datetime):
        moment = raw.astimezone(timezone.utc) if raw.tzinfo else raw
        return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
    if isinstance(raw, date):
        return raw.isoformat()
    if isinstance(raw, bytes):
        return raw.hex()
    if isinstance(raw, float) and not math.isfinite(raw):
        return None
    return raw


def line(record: Any) -> bytes:
    """Return a record as a line of NDJSON, with the same bytes as Rails."""
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return "".join(HTML.get(character, character) for character in text).encode() + b"\n"
