"""Numbers of things in words."""

from __future__ import annotations

__all__ = ["counted"]


def counted(number: int, noun: str, many: str = "") -> str:
    """A number of things.

    >>> counted(1, "operator"), counted(1200, "operator"), counted(2, "entry", "entries")
    ('1 operator', '1,200 operators', '2 entries')
    """
    return f"{number:,} {noun if number == 1 else many or noun + 's'}"
