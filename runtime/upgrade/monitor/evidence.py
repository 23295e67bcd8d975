"""The test of whole blocks beside a training run: in spare time, so that training does not wait for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ....ir.evidence.null import Null
from ....ir.findings.formation import BlockSigns
from ....passes.anneal.blocks.search import anneal_blocks

__all__ = ["SpareTime", "initial_null", "signs_of"]

UNIFORM = 1.75  # largest entry over the deviation: √3 of a uniform law, above 3 of as many normal ones
COST = 2e-6  # seconds an entry, until one was measured
Job = Callable[[], None]


def signs_of(step: int, weight: npt.NDArray[Any], null: Null | None) -> BlockSigns:
    """What the test of whole blocks says of a weight (K, N), or of its change, whose null is not known."""
    found = anneal_blocks(weight, null)
    certificate = found.evidence.certificate
    assert certificate is not None
    return BlockSigns(
        step=step,
        blocks=certificate.blocks,
        existence=float(certificate.existence),
        accepted=certificate.accepted,
        reason=certificate.reason,
    )


def initial_null(initial: npt.NDArray[Any]) -> Null | None:
    """The law that an initial weight was drawn from, uniform or normal by its largest entry; None where it is constant.

    >>> str(initial_null(np.random.default_rng(0).uniform(-1, 1, (99, 99))).family)
    'uniform'
    """
    values = np.asarray(initial, np.float64)
    sigma, top = float(values.std()), float(np.abs(values).max(initial=0.0))
    if not (np.isfinite(sigma) and sigma > 0):
        return None
    source = "the initial weight"
    if top <= UNIFORM * sigma:
        return Null(family="uniform", scale=top, source=source)
    return Null(family="normal", scale=sigma, source=source)


@dataclass(slots=True)
class _Spent:
    seconds: float = 0.0
    per_entry: float = COST


class SpareTime:
    """Runs one job at a time in a thread of its own, and only as long as all of them took a small share of the run.

    share: of the seconds since the first call of `run`, 0 to 1.
    """

    def __init__(self, share: float) -> None:
        self._share, self._began, self._spent = share, time.monotonic(), _Spent()
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """Whether a job runs."""
        return self._thread is not None and self._thread.is_alive()

    def affords(self, entries: int) -> bool:
        """Whether a job on so many entries may begin now, by what those before it took."""
        room = self._share * (time.monotonic() - self._began) - self._spent.seconds
        return not self.busy and room >= self._spent.per_entry * entries

    def run(self, job: Job, entries: int) -> None:
        """Begin a job on so many entries; nothing may be running."""

        def timed() -> None:
            began = time.monotonic()
            job()
            took = time.monotonic() - began
            self._spent.seconds += took
            self._spent.per_entry = max(took / max(entries, 1), self._spent.per_entry / 2)

        self._thread = threading.Thread(target=timed, name="scission-evidence", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Until nothing runs."""
        if self._thread is not None:
            self._thread.join()
