"""Parts on machines that are not there: what a simulation says of them, beside the model that is not cut."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..brief import brief

__all__ = ["PartLoad", "Served", "Simulation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartLoad:
    """One part. calls: of all requests; replicas: machines that hold it; busy: how many calls of it run at once, on
    average."""

    name: str
    calls: int
    replicas: int
    busy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """How requests are served. per_second: answers; p50, p99: seconds from a request to its answer; mean_busy,
    most_busy: share of the time that the cores run, of all machines and of the busiest; core_seconds: of a request;
    bytes_: of models that the machines hold."""

    per_second: float
    p50: float
    p99: float
    mean_busy: float
    most_busy: float
    core_seconds: float
    bytes_: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """What is to be expected of so many machines of so many cores. parts: served by parts; whole: by the model that is
    not cut, all of it on every machine; loads: of each part; times: the seconds that all of it is fed with."""

    machines: int
    cores: int
    requests: int
    parts: Served
    whole: Served
    loads: tuple[PartLoad, ...]
    times: Mapping[str, Any]

    __repr__ = brief

    @property
    def cheaper(self) -> float:
        """How many times fewer seconds of cores a request takes than with the model that is not cut."""
        return self.whole.core_seconds / self.parts.core_seconds if self.parts.core_seconds else 1.0

    def to_dict(self) -> dict[str, Any]:
        """For JSON; `times` can be given to the next simulation."""
        return {**asdict(self), "cheaper": self.cheaper}
