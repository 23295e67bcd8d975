"""A ring of buffers that threads fill while others are copied: bounded memory, whatever travels through it.

    jobs        0 1 2 3 4 5 6 …         taken as buffers become free
    buffers     [4 copied] [5 filled] [2 … free again when its copy is done] [3 copied]
    sent        0 1 2 3                 in their order, by the thread that asks

A thread that is to fill a buffer first waits until what was in it has been copied; the thread that sends waits for the
oldest job alone, so that reading, copying and what is computed in between go on at the same time.
"""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from .link import Event, Link

if TYPE_CHECKING:
    import torch

__all__ = ["PIECE", "THREADS", "Job", "Ring", "spans"]

Octets: TypeAlias = "npt.NDArray[np.uint8]"
Token = TypeVar("Token")
PIECE = 16 << 20  # octets of a buffer: a third of a millisecond of copying, many times what a job costs besides
# A core copies 8 GB/s and the link to a card takes up to 55.
THREADS = max(1, min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1))
AHEAD = 4  # buffers beyond one for each thread: they are being copied while all threads fill


@dataclass(frozen=True, slots=True, eq=False)
class Job(Generic[Token]):
    """One piece: `fill` writes `size` octets, at most `PIECE`, to the array that it is given, in any thread."""

    token: Token
    size: int
    fill: Callable[[Octets], None]


class Ring:
    """Buffers of memory that a link copies from, each made when it is first needed."""

    def __init__(self, link: Link, threads: int = THREADS) -> None:
        self._link, self._threads = link, threads
        self._buffers: list[torch.Tensor | None] = [None] * (threads + AHEAD)
        self._copied: list[Event] = [None] * len(self._buffers)  # after which each may be filled again

    def run(self, jobs: Iterable[Job[Token]], send: Callable[[Token, torch.Tensor], Event]) -> Iterator[Token]:
        """Fill and send every job, in order, and yield its token when it is sent.

        send: queues the copy of the octets that it is given, and returns the event after which they may be overwritten.
        Raises whatever a job raises.
        """
        pending: deque[tuple[Job[Token], int, Future[torch.Tensor]]] = deque()

        def sent() -> Token:
            job, slot, filled = pending.popleft()
            self._copied[slot] = send(job.token, filled.result())
            return job.token

        pool = ThreadPoolExecutor(self._threads)
        try:
            for number, job in enumerate(jobs):
                slot = number % len(self._buffers)
                pending.append((job, slot, pool.submit(self._filled, slot, job)))
                if len(pending) == len(self._buffers):  # before the slot of the oldest is asked for again
                    yield sent()
            while pending:
                yield sent()
        finally:
            pool.shutdown(cancel_futures=True)

    def _filled(self, slot: int, job: Job[Any]) -> torch.Tensor:
        """The octets of a job, in the buffer of a slot as soon as that is free."""
        if self._copied[slot] is not None:
            self._link.wait(self._copied[slot])
        buffer = self._buffers[slot]
        if buffer is None or buffer.numel() < job.size:
            buffer = self._buffers[slot] = self._link.memory(1 << (job.size - 1).bit_length() if job.size else 0)
        part = buffer[: job.size]
        job.fill(part.numpy())
        return part


def spans(size: int, most: int = PIECE) -> Iterator[tuple[int, int]]:
    """(start, stop) of pieces of nearly equal size, each at most `most`.

    >>> list(spans(10, 4))
    [(0, 3), (3, 6), (6, 10)]
    """
    count = -(-size // most)
    bounds = [size * index // count for index in range(count + 1)] if count else [0]
    yield from itertools.pairwise(bounds)
