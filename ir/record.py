"""One object of a file that people may have edited, read field by field: what is wrong is said with where it is.

record = Record.of(data, "steps[3] (/up)", PlanError)
node = record.text("node")                      steps[3] (/up): 'node' is missing
gain = record.number("gain", default=None)      steps[3] (/up): 'gain' is "fast", which is no number
record.done()                                   steps[3] (/up): there is no field 'surprise'
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .errors import ScissionError

__all__ = ["REQUIRED", "Record", "is_number", "shown"]

MOST = 40  # characters of a value that is shown
LARGEST = 2**63 - 1  # whole number: sizes, counts and their sums stay within what floats and arrays hold


def shown(value: Any) -> str:
    """A value as JSON, cut where it is long.

    >>> shown([1, "two"]), shown(None), len(shown("x" * 99))
    ('[1, "two"]', 'null', 40)
    """
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= MOST else f"{text[: MOST - 1]}…"


def is_number(value: Any) -> bool:
    """Whether a value of JSON is a number that a float holds, or an infinite one; true and false are none.

    >>> [is_number(one) for one in (1, 0.5, float("inf"), True, float("nan"), 10**400, "1")]
    [True, True, True, False, False, False, False]
    """
    if type(value) is int:
        return abs(value) <= sys.float_info.max  # JSON writes them as long as it likes
    return isinstance(value, float) and value == value


class _Required:
    """No default: the field has to be there."""


REQUIRED = _Required()


@dataclass(frozen=True, slots=True)
class Record:
    """The fields of an object that were not read yet; where: what messages begin with; error: what is raised."""

    where: str
    fields: dict[str, Any]
    error: type[ScissionError]

    @staticmethod
    def of(data: Any, where: str, error: type[ScissionError]) -> Record:
        """Raises `error` for what is no object."""
        if not isinstance(data, dict):
            raise error(f"{where} is {shown(data)}, which is no object")
        return Record(where, dict(data), error)

    def wrong(self, what: str) -> ScissionError:
        """An error that says where it is."""
        return self.error(f"{self.where}: {what}")

    def text(self, name: str, default: Any = REQUIRED) -> Any:
        """A text."""
        return self._read(name, "no text", lambda value: isinstance(value, str), default)

    def whole(self, name: str, default: Any = REQUIRED) -> Any:
        """A whole number from 0 up, of at most 63 bits."""
        kind = "no whole number from 0 up to 2^63"
        return self._read(name, kind, lambda value: type(value) is int and 0 <= value <= LARGEST, default)

    def number(self, name: str, default: Any = REQUIRED) -> Any:
        """A number, which may be infinite."""
        return self._read(name, "no number", is_number, default)

    def flag(self, name: str, default: Any = REQUIRED) -> Any:
        """True or false."""
        return self._read(name, "neither true nor false", lambda value: isinstance(value, bool), default)

    def items(self, name: str, default: Any = REQUIRED) -> Any:
        """A list."""
        return self._read(name, "no list", lambda value: isinstance(value, list), default)

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts, empty where there is none."""
        found = self.items(name, default=[])
        if not all(isinstance(one, str) for one in found):
            raise self.wrong(f"{name!r} is {shown(found)}, which is no list of texts")
        return tuple(found)

    def any(self, name: str, default: Any = REQUIRED) -> Any:
        """Whatever is there."""
        return self._read(name, "no value", lambda _: True, default)

    def done(self) -> None:
        """Raise the error for a field that was not read."""
        if self.fields:
            raise self.wrong(f"there is no field {next(iter(self.fields))!r}")

    def _read(self, name: str, kind: str, fits: Callable[[Any], bool], default: Any) -> Any:
        if name not in self.fields:
            if default is REQUIRED:
                raise self.wrong(f"{name!r} is missing")
            return default
        value = self.fields.pop(name)
        if not fits(value) and not (value is None and default is None):
            raise self.wrong(f"{name!r} is {shown(value)}, which is {kind}")
        return value
