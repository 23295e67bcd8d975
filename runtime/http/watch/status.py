"""How a server is doing now: requests of the last minute, how long they took, what runs and what waits."""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

__all__ = ["PartStatus", "Recent", "Status"]

WINDOW = 60.0  # seconds that count as now
KEPT = 4096  # requests of them that are kept at most


@dataclass(frozen=True, slots=True, kw_only=True)
class PartStatus:
    """One sub-model. calls: so far; share: calls for each request, on average; seconds: of a call, on average.

    per_second, busy: calls a second, and how many ran at once, of the last minute; replicas: that may be called now.
    """

    name: str
    calls: int
    share: float
    seconds: float
    per_second: float = 0.0
    busy: float = 0.0
    replicas: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """One server now. up: seconds since it began; per_second, p50, p99: of the last minute, None before any request.

    statuses: how many requests were answered with which status of HTTP, since the beginning; cpu: seconds that the
    processor spent on the server.
    """

    model: str
    up: float
    workers: int
    running: int
    waiting: int
    statuses: dict[str, int]
    per_second: float
    p50: float | None
    p99: float | None
    cpu: float = 0.0
    parts: tuple[PartStatus, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class Recent:
    """The requests of the last minute, by when they were answered and how long they took."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.statuses: Counter[str] = Counter()
        self._answered: deque[tuple[float, float]] = deque(maxlen=KEPT)

    def add(self, status: int, seconds: float) -> None:
        """A request was answered with this status."""
        self.statuses[str(status)] += 1
        self._answered.append((time.monotonic(), seconds))

    def status(
        self, model: str, workers: int, running: int, waiting: int, parts: tuple[PartStatus, ...] = ()
    ) -> Status:
        """How the server of this model is doing."""
        now = time.monotonic()
        seen = [(at, took) for at, took in self._answered if now - at <= WINDOW]
        span = min(now - self.began, WINDOW)
        if len(seen) == KEPT:  # more came than is kept
            span = now - seen[0][0]
        took = [seconds for _, seconds in seen]
        p50, p99 = (float(value) for value in np.quantile(took, (0.5, 0.99))) if took else (None, None)
        return Status(
            model=model,
            up=now - self.began,
            workers=workers,
            running=running,
            waiting=waiting,
            statuses=dict(sorted(self.statuses.items())),
            per_second=len(seen) / span if span > 0 else 0.0,
            p50=p50,
            p99=p99,
            cpu=time.process_time(),
            parts=parts,
        )
