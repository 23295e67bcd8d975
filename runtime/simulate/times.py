"""How long a request and each of its parts keep a processor busy, measured once and kept as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...ir.brief import brief
from ...ir.errors import Remedy
from ...ir.files.reading import TIMES, read_text
from ...ir.parts.manifest import Manifest
from ...ir.record import Record, is_number
from .trace import TraceError

__all__ = ["ServiceTimes", "read_times"]

SIMULATE = Remedy("`scission.simulate`", "`scission simulate`")
LONGEST = 1e6  # seconds of one call or wait, some eleven days: sums of as many as are simulated stay finite


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceTimes:
    """Seconds of one processor.

    front: of a request besides its parts, which one thread does for all of them: HTTP, reading, index work; client: of
    whoever asks; wait: of requests, those in which none of it runs: sockets, threads that wake; parts: of calls of each
    part, in the manifest's order; whole: of runs of the model that is not cut, or of all parts one after another; plan:
    the SHA-256 of what is cut where.
    """

    plan: str
    front: float
    client: float
    wait: tuple[float, ...]
    parts: tuple[tuple[float, ...], ...]
    whole: tuple[float, ...]

    __repr__ = brief

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        parts = [[*seconds] for seconds in self.parts]
        return {
            "plan": self.plan,
            "front": self.front,
            "client": self.client,
            "wait": [*self.wait],
            "parts": parts,
            "whole": [*self.whole],
        }

    @staticmethod
    def from_dict(data: Any, where: str) -> ServiceTimes:
        """Inverse of `to_dict`. Raises TraceError for what is none."""
        record = Record.of(data, where, TraceError)
        found = ServiceTimes(
            plan=record.text("plan"),
            front=_seconds(record, "front", [record.number("front")])[0],
            client=_seconds(record, "client", [record.number("client")])[0],
            wait=_seconds(record, "wait", record.items("wait")),
            parts=tuple(_seconds(record, f"parts[{at}]", one) for at, one in enumerate(record.items("parts"))),
            whole=_seconds(record, "whole", record.items("whole")),
        )
        record.done()
        return found


def read_times(path: Path, manifest: Manifest) -> ServiceTimes:
    """The times in a file: what `simulate` prints as JSON, or the part of it that is called so.

    Raises TraceError for a file that holds none, and for times of parts that are cut in another way.
    """
    try:
        told = json.loads(read_text(path, TIMES))
    except (OSError, ValueError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no JSON"
        raise TraceError(f"{path}: cannot be read ({why}); give the JSON that ", SIMULATE, " printed") from None
    found = ServiceTimes.from_dict(told.get("times", told) if isinstance(told, Mapping) else told, str(path))
    if found.plan != manifest.plan or len(found.parts) != len(manifest.parts):
        raise TraceError(f"{path}: was measured with other parts; measure these")
    return found


def _seconds(record: Record, name: str, values: Any) -> tuple[float, ...]:
    listed: Sequence[Any] = values if isinstance(values, list) else []
    if not listed or not all(is_number(one) and 0 <= one <= LONGEST for one in listed):
        raise record.wrong(f"{name!r} is no list of seconds from 0 to {LONGEST:,.0f}")
    return tuple(map(float, listed))
