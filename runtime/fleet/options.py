"""How parts are served by Ray: where, how many replicas, what each of them reserves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..fields import setting
from ..validation import check_fields

__all__ = ["FleetOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetOptions:
    """How parts are served by Ray.

    address: of a cluster that is there, by default one of this machine alone, which ends with the server; replicas: of
    all parts together at first, shared out by how often each is called, at least one each, by default one each; growth:
    how many times as many there may be; trace: requests that say how often each part is called, as the log of a server;
    cpus, gpus: what a replica reserves, by default of the cores an even share; ongoing: calls of a replica at once
    beyond which Ray adds another; batch: rows of calls that may be run as one, right only where rows do not depend on
    one another, 0 for never; gather: seconds that a call may wait for others to be run with; follow: seconds between
    two looks at how often parts are called, by which replicas are shared out anew, None for never. Raises OptionError
    for what an option cannot be.
    """

    address: str | None = setting(None, "the address of a Ray cluster (default: a cluster of this machine alone)")
    replicas: int | None = setting(None, "replicas of all parts together (default: one of each)", least=1, most=100_000)
    growth: float = setting(2.0, "how many times as many replicas there may be under load", least=1, most=1000)
    trace: Path | None = setting(None, "the log of a server, which says how often each part is called", metavar="FILE")
    cpus: float | None = setting(None, "cores that a replica reserves (default: an even share)", least=0, most=4096)
    gpus: float = setting(0.0, "GPUs that a replica reserves, also parts of one", least=0, most=64)
    ongoing: float = setting(2.0, "calls of a replica at once beyond which there is another one", least=0.1, most=1e6)
    batch: int = setting(0, "rows of calls that may be run as one; 0 for never", least=0, most=2**20)
    gather: float = setting(
        0.002, "how long a call may wait for others to be run with", metavar="SECONDS", least=0, most=60
    )
    follow: float | None = setting(
        60.0, "how often replicas are shared out anew by how often parts are called", metavar="SECONDS", least=0.5
    )

    def __post_init__(self) -> None:
        check_fields(self)
