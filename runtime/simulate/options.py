"""What is simulated: how many machines, what they are like, who asks."""

from __future__ import annotations

import os
from dataclasses import dataclass

from ..fields import setting
from ..validation import check_fields

__all__ = ["SimulateOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulateOptions:
    """Machines, and those who ask them.

    machines: how many; cores: of each, by default as many as this one has; hop: seconds that a message takes from one
    machine to another; clients: so many who send the next request when they have an answer, instead of the times of the
    trace; beside: whether these run on the first machine; speed: how many times faster than in the trace requests come;
    requests: how many, those of the trace over and over, by default each once; seconds: the most that measuring takes;
    seed: of what is drawn. Raises OptionError for what an option cannot be.
    """

    machines: int = setting(1, "how many machines", least=1, most=100_000)
    cores: int | None = setting(None, "cores of each machine (default: as many as here)", least=1, most=4096)
    hop: float = setting(0.0002, "seconds that a message takes to another machine", metavar="SECONDS", least=0, most=60)
    clients: int | None = setting(
        None, "clients that wait for their answers, instead of the trace's times", least=1, most=1_000_000
    )
    beside: bool = setting(False, "clients run on the first machine")
    speed: float = setting(1.0, "how many times faster than in the trace requests come", least=1e-6, most=1e6)
    requests: int | None = setting(
        None, "how many requests (default: those of the trace, each once)", least=1, most=10**7
    )
    seconds: float = setting(
        5.0, "the longest that service times are measured", metavar="SECONDS", least=0.1, most=3600
    )
    seed: int = setting(0, "seed of what is drawn", least=0)

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def own_cores(self) -> int:
        """Cores of each machine."""
        return self.cores or os.cpu_count() or 1
