"""Numbers, sizes and times as people read them."""

from __future__ import annotations

from datetime import datetime, timezone

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def count(number: int) -> str:
    """Return a number with separators.

    >>> count(1234567)
    '1,234,567'
    """
    return f"{number:,}"


def size(number: float) -> str:
    """Return a number of bytes with three digits.

    >>> size(0), size(999), size(1000), size(123_456_789), size(999_999)
    ('0 B', '999 B', '1.00 kB', '123 MB', '1.00 MB')
    """
    value, unit = float(number), 0
    while unit < len(_UNITS) - 1 and value >= (999.5 if unit else 1000):
        value, unit = value / 1000, unit + 1
    if not unit:
        return f"{value:.0f} B"
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{digits}f} {_UNITS[unit]}"


def speed(number: float | None) -> str:
    """Return bytes per second.

    >>> speed(2_500_000), speed(None)
    ('2.50 MB/s', '')
    """
    return "" if number is None else f"{size(number)}/s"


def duration(seconds: float | None) -> str:
    """Return a time span by its two greatest units.

    >>> duration(0.4), duration(59.7), duration(3723), duration(90061), duration(None)
    ('0.4 s', '1 min', '1 h 2 min', '1 d 1 h', '')
    """
    if seconds is None:
        return ""
    if seconds < 9.95:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    for unit, name, below, its in ((_DAY, "d", _HOUR, "h"), (_HOUR, "h", _MINUTE, "min"), (_MINUTE, "min", 1, "s")):
        if whole >= unit:
            rest = whole % unit // below
            return f"{whole // unit} {name}" + (f" {rest} {its}" if rest else "")
    return f"{whole} s"


def age(seconds: float | None) -> str:
    """Return how long ago something was.

    >>> age(12), age(None)
    ('12 s ago', '')
    """
    return "" if seconds is None else f"{duration(round(max(seconds, 0)))} ago"


def percent(share: float) -> str:
    """Return a share, rounded down, so that only what is complete has 100 %.

    >>> percent(0.999), percent(1)
    ('99 %', '100 %')
    """
    return f"{int(share * 100)} %"


def exact(time: datetime) -> str:
    """Return a time for programs, in ISO 8601.

    >>> exact(datetime(2026, 11, 28, 10, 38, 17, tzinfo=timezone.utc))
    '2026-11-28T10:38:17+00:00'
    """
    return time.astimezone(timezone.utc).isoformat(timespec="seconds")


def instant(time: datetime) -> str:
    """Return a time for people whose time zone is unknown; a script replaces it by that of their zone.

    >>> instant(datetime(2026, 11, 28, 10, 38, 17, tzinfo=timezone.utc))
    '2026-11-28 10:38:17 UTC'
    """
    return f"{time.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
