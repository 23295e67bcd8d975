"""What a tuning cache holds, as it is listed and picked from: one line for each unit that was raced."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ...ir.errors import ScissionError
from .cache import TuningCache

__all__ = ["CachedUnit", "CachedUnitError", "cached_units", "picked"]


class CachedUnitError(ScissionError):
    """A key that no entry of the cache begins with, or that several do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedUnit:
    """One entry.

    operators: types of its nodes in order; shapes: (inputs, outputs) of its weights; rows, threads, machine, version:
    what it was raced with and where; winner: the way that won, 'dense' where none was better; speed: of the winner
    beside dense, at its slowest; stale: why it is not used here any more, empty where it is.
    """

    key: str
    operators: tuple[str, ...] = ()
    shapes: tuple[tuple[int, int], ...] = ()
    rows: tuple[int, ...] = ()
    threads: int | None = None
    machine: Mapping[str, Any] | None = None
    version: str = ""
    winner: str = ""
    speed: float | None = None
    stale: str = ""

    @property
    def place(self) -> str:
        """The machine in one line: processor or GPU, provider and version of ONNX Runtime."""
        known = self.machine or {}
        names = (known.get("gpu") if known.get("provider") == "cuda" else known.get("cpu")), known.get("provider")
        return ", ".join(str(name) for name in (*names, f"onnxruntime {known.get('onnxruntime', '?')}") if name)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def cached_units(cache: TuningCache, here: Mapping[str, Any], version: str) -> tuple[CachedUnit, ...]:
    """Every entry of a cache, damaged ones as stale; here: the machine as it is now, version: of this library."""
    return tuple(_unit(cache, key, entry, here, version) for key, entry in cache.entries.items())


def picked(
    units: Sequence[CachedUnit],
    *,
    keys: Sequence[str] = (),
    shape: tuple[int, int] | None = None,
    machine: str = "",
    stale: bool = False,
) -> tuple[CachedUnit, ...]:
    """The entries that all of what is asked for holds of; keys: the first characters of each are enough.

    shape: of one of its weights; machine: part of its place, in any case of letters; stale: only such. Raises
    CachedUnitError for a key that is none, or not clear.
    """
    named = {_named(units, key) for key in keys}
    return tuple(
        unit
        for unit in units
        if (not keys or unit.key in named)
        and (shape is None or shape in unit.shapes)
        and machine.lower() in unit.place.lower()
        and (not stale or unit.stale)
    )


def _named(units: Sequence[CachedUnit], key: str) -> str:
    found = [unit.key for unit in units if unit.key.startswith(key)] if key else []
    if len(found) == 1:
        return found[0]
    how = f"begins {len(found)} keys; give more of it" if found else "begins no key; `scission cache list` shows them"
    raise CachedUnitError(f"{key!r} {how}")


def _unit(cache: TuningCache, key: str, entry: Any, here: Mapping[str, Any], version: str) -> CachedUnit:
    kept = cache.get(key)
    what = entry.get("what") if isinstance(entry, dict) else None
    if kept is None or not isinstance(what, dict):
        return CachedUnit(key=key, stale="damaged")
    ways = entry.get("ways")
    names = ways if isinstance(ways, list) and len(ways) == len(kept.forms) else ["?"] * len(kept.forms)
    won = () if kept.winner is None else kept.forms[kept.winner]
    machine = what.get("machine") if isinstance(what.get("machine"), dict) else None
    made = what.get("scission")
    unit = what.get("unit")
    return CachedUnit(
        key=key,
        operators=tuple(_operators(unit)),
        shapes=tuple(dict.fromkeys(_shapes(unit))),
        rows=_rows(what.get("extents")),
        threads=what.get("threads") if isinstance(what.get("threads"), int) else None,
        machine=machine,
        version=made if isinstance(made, str) else "",
        winner="dense" if kept.winner is None else str(names[kept.winner]),
        speed=min((one.ratio for one in won if one is not None), default=None),
        stale=_stale(machine, here, made, version),
    )


def _stale(machine: Mapping[str, Any] | None, here: Mapping[str, Any], made: Any, version: str) -> str:
    """Why an entry will not be found again here."""
    other = sorted(name for name in here if (machine or {}).get(name) != here[name])
    # A race for another provider is as good as it was.
    if other and not (set(other) <= {"provider"} and (machine or {}).get("provider") in ("cpu", "cuda")):
        return f"other {', '.join(other)}"
    return "" if made == version else f"scission {made}"


def _rows(extents: Any) -> tuple[int, ...]:
    """The activation rows of the first operator, for each size that was raced."""
    first = _list((_list(extents) or [[]])[0])
    known = [each for each in first if isinstance(each, list) and all(isinstance(extent, int) for extent in each)]
    return tuple(math.prod(each) for each in known)


def _operators(unit: Any) -> Iterator[str]:
    for node in _list(unit.get("nodes") if isinstance(unit, dict) else None):
        if isinstance(node, list) and len(node) > 1:
            yield str(node[1])


def _shapes(unit: Any) -> Iterator[tuple[int, int]]:
    for blocks in _list(unit.get("blocks") if isinstance(unit, dict) else None):
        shape = _list(blocks.get("shape")) if isinstance(blocks, dict) else []
        if len(shape) == 2 and all(isinstance(extent, int) for extent in shape):
            yield shape[0], shape[1]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
