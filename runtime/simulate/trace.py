"""Requests as they came: when, and which parts each of them activated.

    {"at": 0.013, "parts": ["part3"]}                       one line of JSON a request, in seconds of any clock
    {"time": "2026-01-31T12:00:00+00:00", "seconds": 0.002, "status": 200, "parts": ["part3"], …}

The second is what `scission serve` logs of a request, so that its log is a trace; lines that name no parts are no
requests of parts, and are left out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...ir.errors import ScissionError
from ...ir.files.reading import TRACE, read_text
from ...ir.record import Record

__all__ = ["LONGEST", "Trace", "TraceError", "read_trace"]

LONGEST = 1e9  # seconds of requests, some thirty years: clocks of floats would not tell requests of longer ones apart


class TraceError(ScissionError):
    """A trace that is none, or that is of other parts; the message names the file and the line."""


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """Requests in the order in which they came: at: seconds since the first; parts: which of them each activates."""

    at: npt.NDArray[np.float64]
    parts: tuple[tuple[int, ...], ...]

    def counts(self, parts: int) -> npt.NDArray[np.int64]:
        """How many requests activate each of so many parts."""
        return np.bincount([one for own in self.parts for one in own], minlength=parts)


def read_trace(path: Path, names: Sequence[str]) -> Trace:
    """The requests in a file, of the parts that have these names.

    Raises TraceError for a file that cannot be read or holds no request, for a time that is none, for times that lie
    too far apart, and for a part that is not there.
    """
    try:
        lines = read_text(path, TRACE).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise TraceError(f"{path}: cannot be read ({why}); give the log of a server, or lines of JSON") from None
    places = {name: place for place, name in enumerate(names)}
    found = []
    for number, line in enumerate(lines, 1):
        told = _object(line)
        if "parts" in told:
            found.append(_request(told, f"{path}: line {number}", places))
    if not found:
        raise TraceError(f"{path}: none of its {len(lines)} lines is a request that names parts")
    found = sorted(found, key=lambda one: one[0])
    at = np.array([one[0] for one in found])
    if not at[-1] / LONGEST - at[0] / LONGEST <= 1:  # which does not overflow where their difference would
        raise TraceError(f"{path}: from {at[0]:g} to {at[-1]:g} are more than {LONGEST:g} seconds; mend its times")
    return Trace(at - at[0], tuple(one[1] for one in found))


def _object(line: str) -> dict[str, Any]:
    try:
        told = json.loads(line) if line.startswith("{") else None
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _request(told: Mapping[str, Any], where: str, places: Mapping[str, int]) -> tuple[float, tuple[int, ...]]:
    record = Record.of(told, where, TraceError)
    own = record.texts("parts")
    if unknown := next((name for name in own if name not in places), None):
        raise TraceError(f"{where}: there is no part {unknown!r}; give a trace of these parts")
    parts = tuple(sorted({places[name] for name in own}))
    at = record.number("at", default=None)
    if at is None:
        text, took = record.text("time"), record.number("seconds", default=0.0)
        try:
            at = datetime.fromisoformat(text).timestamp() - took
        except (ValueError, OverflowError):
            raise record.wrong(f"{text[:40]!r} is no time of ISO 8601") from None
    if not math.isfinite(at):
        raise record.wrong("its time is not finite")
    return float(at), parts
