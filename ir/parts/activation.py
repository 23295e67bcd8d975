"""Which parts data activate: how often each of them, which of them together, and what that loads them with.

    FOLDER/activation.json   {"schema": 1, "plan": "9f…", "rows": 1000, "off": [{"input": "x", "value": 0.0}],
                              "parts": [{"name": "part0", "rows": 950, "macs": 16384}, …],
                              "together": [[0, 1, 12], …]}

A row is one sample of the data: a part is activated by a row in which anything that it reads is not off. 12 rows
activate both the first and the second part; pairs that no row activates are left out. `plan` is that of the manifest
beside it, so that what was counted for other parts is refused.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from ..brief import brief
from ..record import Record, is_number, shown
from .manifest import MOST_PARTS, SHA256, Manifest
from .share import ManifestError

__all__ = ["FILE", "MASKED", "Activation", "OffWord", "PartActivation", "activation_of"]

FILE = "activation.json"
SCHEMA = 1
LARGEST_NUMBER = sys.float_info.max
MOST_ROWS, MOST_MACS = 1 << 53, 1 << 63


class OffWord(Enum):
    """What an input holds where it is off, and no number tells. MASKED: anything, where all else that a part reads is
    off: token ids beside a mask."""

    MASKED = "masked"


MASKED = OffWord.MASKED


@dataclass(frozen=True, slots=True, kw_only=True)
class PartActivation:
    """How often a part is activated. rows: that activate it; macs: multiply-adds that each of them takes."""

    name: str
    rows: int
    macs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    """What data activate of the parts of a manifest, in its order.

    plan: the SHA-256 of what is cut where; rows: all that were looked at, at least one; off: the number that an input
    holds where it is off, or MASKED, by name, 0 for others; together: rows that activate two parts, by their
    places, the smaller one first, where there are any. Raises ManifestError for numbers that contradict one another.

    >>> some = tuple(PartActivation(name=name, rows=rows, macs=8) for name, rows in (("a", 9), ("b", 3)))
    >>> found = Activation(plan="0" * 64, rows=10, off={}, parts=some, together={(0, 1): 2})
    >>> found.frequency, found.load, Activation.loads(found.dumps()) == found
    ((0.9, 0.3), (7.2, 2.4), True)
    """

    plan: str
    rows: int
    off: Mapping[str, float | OffWord]
    parts: tuple[PartActivation, ...]
    together: Mapping[tuple[int, int], int]

    __repr__ = brief

    def __post_init__(self) -> None:
        if not self.parts or not 0 < self.rows <= MOST_ROWS or not SHA256.fullmatch(self.plan):
            raise ManifestError("there is no part, no row, or no plan that the parts are of")
        if len({part.name for part in self.parts}) < len(self.parts):
            raise ManifestError("a part is there twice")
        for part in self.parts:
            if not 0 <= part.rows <= self.rows or not 0 <= part.macs < MOST_MACS:
                raise ManifestError(f"{part.name} is activated by {part.rows} of {self.rows} rows, or costs nonsense")
        for (one, other), rows in self.together.items():
            if not 0 <= one < other < len(self.parts):
                raise ManifestError(f"{one} and {other} are no places of two parts, the smaller one first")
            first, second = self.parts[one].rows, self.parts[other].rows
            if not max(1, first + second - self.rows) <= rows <= min(first, second):
                raise ManifestError(f"{rows} rows cannot activate both of the parts {one} and {other}")

    @property
    def frequency(self) -> tuple[float, ...]:
        """The share of rows that activate each part."""
        return tuple(part.rows / self.rows for part in self.parts)

    @property
    def load(self) -> tuple[float, ...]:
        """Multiply-adds that a row takes of each part, on average."""
        return tuple(part.rows / self.rows * part.macs for part in self.parts)

    def require_of(self, manifest: Manifest) -> None:
        """Raise ManifestError unless this was counted for the parts of a manifest."""
        if self.plan != manifest.plan or [one.name for one in self.parts] != [one.name for one in manifest.parts]:
            raise ManifestError("was counted for other parts than those of the manifest; count it again")
        if unknown := sorted({*self.off} - {value.name for value in manifest.inputs}):
            raise ManifestError(f"tells what is off of {unknown[0]!r}, which is no input of the model; count it again")

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "schema": SCHEMA,
            "plan": self.plan,
            "rows": self.rows,
            "off": [
                {"input": name, "value": value.value if isinstance(value, OffWord) else value}
                for name, value in sorted(self.off.items())
            ],
            "parts": [{"name": one.name, "rows": one.rows, "macs": one.macs} for one in self.parts],
            "together": [[*pair, rows] for pair, rows in sorted(self.together.items())],
        }

    def dumps(self) -> str:
        """As the text of a file."""
        return json.dumps(self.to_dict()) + "\n"

    @staticmethod
    def loads(text: str) -> Activation:
        """Inverse of `dumps`; raises ManifestError for what is none, in one sentence."""
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ManifestError(f"it is no JSON: {str(error).splitlines()[0]}") from None
        record = Record.of(data, "the activation", ManifestError)
        if (schema := record.whole("schema")) != SCHEMA:
            raise ManifestError(f"its schema is {schema}, and this version reads {SCHEMA}")
        plan, rows, items = record.text("plan"), record.whole("rows"), record.items("parts")
        off, together = record.items("off"), record.items("together")
        record.done()
        if len(items) > MOST_PARTS:
            raise record.wrong(f"'parts' has {len(items):,} entries, and {MOST_PARTS:,} are the most")
        return Activation(
            plan=plan,
            rows=rows,
            off=_numbers(record, off),
            parts=tuple(_part(one, f"parts[{at}]") for at, one in enumerate(items)),
            together=_pairs(record, together),
        )


def activation_of(manifest: Manifest, on: npt.NDArray[np.bool_], off: Mapping[str, float | OffWord]) -> Activation:
    """What rows activate of the parts of a manifest. on: (parts, rows); off: what an input holds where it is off."""
    counts = on.astype(np.float64)  # products of whole numbers below 2^53 are exact, and fast
    both = (counts @ counts.T).astype(np.int64)
    return Activation(
        plan=manifest.plan,
        rows=on.shape[1],
        off=dict(off),
        parts=tuple(
            PartActivation(name=part.name, rows=int(both[at, at]), macs=part.macs)
            for at, part in enumerate(manifest.parts)
        ),
        together={
            (int(one), int(other)): int(both[one, other])
            for one, other in zip(*np.nonzero(np.triu(both, 1)), strict=True)
        },
    )


def _numbers(record: Record, items: list[Any]) -> dict[str, float | OffWord]:
    found: dict[str, float | OffWord] = {}
    for at, one in enumerate(items):
        name, value = _off(one, f"off[{at}]")
        if name in found:
            raise record.wrong(f"'off' tells twice of the input {shown(name)}")
        found[name] = value
    return found


def _off(data: Any, where: str) -> tuple[str, float | OffWord]:
    record = Record.of(data, where, ManifestError)
    name, value = record.text("input"), record.any("value")
    record.done()
    if value == MASKED.value:
        return name, MASKED
    if not is_number(value) or not abs(value) <= LARGEST_NUMBER:
        raise record.wrong(
            f"'value' is {shown(value)}, which is neither a number that an input holds nor {MASKED.value!r}"
        )
    return name, float(value)


def _part(data: Any, where: str) -> PartActivation:
    record = Record.of(data, where, ManifestError)
    found = PartActivation(name=record.text("name"), rows=record.whole("rows"), macs=record.whole("macs"))
    record.done()
    return found


def _pairs(record: Record, items: list[Any]) -> dict[tuple[int, int], int]:
    found: dict[tuple[int, int], int] = {}
    for one in items:
        if not isinstance(one, list) or len(one) != 3 or any(type(number) is not int for number in one):
            raise record.wrong(f"'together' holds {shown(one)}, which is not two parts and a number of rows")
        if (pair := (one[0], one[1])) in found:
            raise record.wrong(f"'together' tells twice of the parts {one[0]} and {one[1]}")
        found[pair] = one[2]
    return found
