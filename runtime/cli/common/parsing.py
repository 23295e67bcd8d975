"""What is typed for options whose values are no plain words or numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from ...fields import LARGEST

if TYPE_CHECKING:
    from ....ir.parts.activation import OffWord

__all__ = ["bytes_of", "levels_of", "like_of", "off_of", "pairs", "range_of", "sizes_of", "values_of"]

T = TypeVar("T")


def pairs(read: Callable[[str], tuple[str, T]], texts: list[str] | None) -> dict[str, T]:
    """Each of some texts NAME=… by name; raises typer.BadParameter for one that is none."""
    found: dict[str, T] = {}
    for text in texts or []:
        name, value = read(text)
        if found.setdefault(name, value) != value:
            raise typer.BadParameter(f"{name!r} is given twice, as {found[name]} and as {value}; leave out one")
    return found


def bytes_of(memory: str | None) -> int | None:
    """Bytes of a size of memory, None without one; raises NoMemoryError for one that is none."""
    from ...ort.memory import parse_bytes

    return None if memory is None else parse_bytes(memory)


def sizes_of(size: list[str] | None, flag: str = "--size") -> dict[str, int]:
    """Sizes of open dimensions by name; raises typer.BadParameter, which names the flag, for one that is none."""
    return pairs(lambda text: size_of(text, flag), size)


def size_of(text: str, flag: str) -> tuple[str, int]:
    """The name and the size of NAME=N; raises typer.BadParameter."""
    name, sign, number = text.rpartition("=")
    if not sign or not number.isdecimal() or len(number) > 12 or not 1 <= int(number) <= LARGEST:
        raise typer.BadParameter(f"{text!r} is not NAME=N with N from 1 to {LARGEST}", param_hint=flag)
    return name, int(number)


def values_of(texts: list[str]) -> dict[str, tuple[Any, ...]]:
    """What inputs hold, by name, each of the values given for it; 'V,W' is a list. Raises typer.BadParameter.

    >>> values_of(["sr=16000", "sr=8000", "shape=-1,48"])
    {'sr': (16000, 8000), 'shape': ([-1, 48],)}
    """
    found: dict[str, tuple[Any, ...]] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name or not value:
            raise typer.BadParameter(f"{text!r} is not NAME=V", param_hint="--value")
        parts = [_literal(part) for part in value.split(",")]
        found[name] = (*found.get(name, ()), parts if len(parts) > 1 else parts[0])
    return found


def _literal(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text.strip()


def range_of(text: str) -> tuple[str, tuple[float, float]]:
    """The name and the bounds of NAME=LO:HI; raises typer.BadParameter."""
    name, sign, bounds = text.rpartition("=")
    low, colon, high = bounds.partition(":")
    try:
        found = float(low), float(high)
    except ValueError:
        found = math.nan, math.nan
    if not sign or not colon or not -math.inf < found[0] <= found[1] < math.inf:
        raise typer.BadParameter(f"{text!r} is not NAME=LO:HI with numbers LO <= HI", param_hint="--range")
    return name, found


def off_of(text: str) -> tuple[str, float | OffWord]:
    """The name and the number of NAME=V, or the word; raises typer.BadParameter."""
    from ....ir.parts.activation import MASKED

    name, sign, value = text.rpartition("=")
    if sign and value == MASKED.value:
        return name, MASKED
    try:
        found = float(value)
    except ValueError:
        found = math.nan
    if not sign or not math.isfinite(found):
        raise typer.BadParameter(f"{text!r} is not NAME=V with a number V, or {MASKED.value}", param_hint="--off")
    return name, found


def like_of(text: str) -> tuple[str, str]:
    """The name and the kind of NAME=KIND; raises typer.BadParameter."""
    from ...inputs.likes import LIKES

    name, sign, kind = text.rpartition("=")
    if not sign or kind not in LIKES:
        raise typer.BadParameter(f"{text!r} is not NAME=KIND with KIND one of {', '.join(LIKES)}", param_hint="--like")
    return name, kind


def levels_of(text: str | None) -> tuple[float, ...] | None:
    """The levels of a list such as '0.05,1e-3', None without one; raises typer.BadParameter for what is none."""
    if text is None:
        return None
    found = []
    for part in text.split(","):
        try:
            level = float(part)
        except ValueError:
            level = -1.0
        if not 0 < level < 1:
            raise typer.BadParameter(f"{part!r} is no level between 0 and 1", param_hint="--levels")
        found.append(level)
    return tuple(found)
