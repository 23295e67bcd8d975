"""What options may be: each field is held against what it says of itself, so that Python refuses what a shell does.

batch: Sequence[int] | None = setting(None, …, least=1)
       ─────────────────────                   ───────
       a whole number counts as one of them    PlanOptions(batch=0) -> "batch must be a whole number of at least 1"
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import Field, fields
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from ..ir.errors import ScissionError
from .fields import LARGEST, OptionNote, setting_of

__all__ = ["OptionError", "check_fields", "whole_number", "whole_numbers"]


class OptionError(ScissionError):
    """An option that is not what it may be; the message names it."""


def check_fields(options: Any, error: type[ScissionError] = OptionError) -> None:
    """Hold every field of frozen options against its type, its bounds and its choices, and put it into one form.

    Raises `error`, which names the field. Fields of other types, such as data, are judged by whoever reads them.
    """
    for option in fields(options):
        value = getattr(options, option.name)
        if value is None and _may_be_none(option):
            continue
        if (read := _reader(option)) is not None:
            object.__setattr__(options, option.name, read(option.name, value, setting_of(option), error))


def whole_numbers(name: str, values: Any, error: type[ScissionError] = OptionError) -> tuple[int, ...] | None:
    """Sizes, of which each is at least 1; one number counts as a list of it. Raises `error`, which names the option.

    >>> whole_numbers("batch", 4), whole_numbers("batch", [1, 16]), whole_numbers("batch", None)
    ((4,), (1, 16), None)
    """
    return None if values is None else _whole_numbers(name, values, OptionNote(help="", least=1, most=LARGEST), error)


def whole_number(name: str, value: Any, error: type[ScissionError] = OptionError, *, least: int = 1) -> int:
    """A whole number that is large enough. Raises `error`, which names the option."""
    return _whole_number(name, value, OptionNote(help="", least=least), error)


def _may_be_none(option: Field[Any]) -> bool:
    return option.default is None or "None" in str(option.type)


def _reader(option: Field[Any]) -> Callable[[str, Any, OptionNote, type[ScissionError]], Any] | None:
    if setting_of(option).choices:
        return _choice
    return READERS.get(str(option.type).removesuffix(" | None"))


def _choice(name: str, value: Any, note: OptionNote, error: type[ScissionError]) -> Any:
    if value not in note.choices:
        raise error(f"{name} {value!r} is none of {', '.join(note.choices)}")
    return value


def _switch(name: str, value: Any, _: OptionNote, error: type[ScissionError]) -> bool:
    if type(value).__name__ not in ("bool", "bool_"):  # that of NumPy as well
        raise error(f"{name} must be True or False, got {value!r}")
    return bool(value)


def _text(name: str, value: Any, _: OptionNote, error: type[ScissionError]) -> str:
    if not isinstance(value, str):
        raise error(f"{name} must be a text, got {value!r}")
    return value


def _whole_number(name: str, value: Any, note: OptionNote, error: type[ScissionError]) -> int:
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or not _within(value, note):
        raise error(f"{name} must be a whole number{_bounds(note)}, got {value!r}")
    return int(value)


def _number(name: str, value: Any, note: OptionNote, error: type[ScissionError]) -> float:
    known = isinstance(value, Real) and not isinstance(value, bool)
    if not known or not math.isfinite(value) or not _within(value, note):
        raise error(f"{name} must be a number{_bounds(note)}, got {value!r}")
    return float(value)


def _whole_numbers(name: str, values: Any, note: OptionNote, error: type[ScissionError]) -> tuple[int, ...]:
    listed = [values] if isinstance(values, Real) else values
    if isinstance(listed, str | bytes | Mapping) or not isinstance(listed, Iterable):
        raise error(f"{name} must be whole numbers{_bounds(note)}, got {values!r}")
    found = tuple(_whole_number(name, one, note, error) for one in listed)
    if not found:
        raise error(f"{name} names no size; leave it out, or give a whole number{_bounds(note)}")
    return found


def _path(name: str, value: Any, _: OptionNote, error: type[ScissionError]) -> Path:
    if not isinstance(value, str | os.PathLike):
        raise error(f"{name} must be the path of a file, got {value!r}")
    return Path(value)


def _paths(name: str, values: Any, note: OptionNote, error: type[ScissionError]) -> tuple[Path, ...]:
    listed: Any = [values] if isinstance(values, str | os.PathLike) else values
    if not isinstance(listed, Sequence):
        raise error(f"{name} must be paths of files, got {values!r}")
    return tuple(_path(name, one, note, error) for one in listed)


def _sizes(name: str, value: Any, _: OptionNote, error: type[ScissionError]) -> dict[str, int]:
    positive = OptionNote(help="", least=1, most=LARGEST)
    return {key: _whole_number(f"{name}[{key!r}]", size, positive, error) for key, size in _named(name, value, error)}


def _ranges(name: str, value: Any, _: OptionNote, error: type[ScissionError]) -> dict[str, tuple[float, float]]:
    found = {}
    for key, bounds in _named(name, value, error):
        low, high = bounds if isinstance(bounds, Sequence) and len(bounds) == 2 else (None, None)
        if (
            not isinstance(low, Real)
            or not isinstance(high, Real)
            or not -math.inf < float(low) <= float(high) < math.inf
        ):
            raise error(f"{name}[{key!r}] must be two numbers (low, high) with low <= high, got {bounds!r}")
        found[key] = (float(low), float(high))
    return found


def _values(name: str, value: Any, _: OptionNote, error: type[ScissionError]) -> dict[str, Any]:
    return dict(_named(name, value, error))


def _named(name: str, value: Any, error: type[ScissionError]) -> Iterable[tuple[str, Any]]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise error(f"{name} must be a mapping by name, such as {{'name': …}}, got {value!r}")
    return value.items()


def _within(value: Any, note: OptionNote) -> bool:
    return (note.least is None or value >= note.least) and (note.most is None or value <= note.most)


def _bounds(note: OptionNote) -> str:
    if note.least is not None and note.most == LARGEST:
        return f" of at least {note.least:g} and at most {LARGEST}"
    if note.least is not None and note.most is not None:
        return f" from {note.least:g} to {note.most:g}"
    return f" of at least {note.least:g}" if note.least is not None else ""


READERS: dict[str, Callable[[str, Any, OptionNote, type[ScissionError]], Any]] = {  # by the type of a field
    "bool": _switch,
    "int": _whole_number,
    "float": _number,
    "str": _text,
    "Path": _path,
    "int | Sequence[int]": _whole_numbers,
    "Sequence[Path]": _paths,
    "tuple[Path, ...]": _paths,
    "Mapping[str, int]": _sizes,
    "Mapping[str, Any]": _values,
    "Mapping[str, tuple[float, float]]": _ranges,
    "Mapping[str, str]": _values,
}
