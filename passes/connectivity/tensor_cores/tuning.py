"""Which tile a card multiplies fastest with: tried out on the work itself, for no longer than the work took before.

    products   ──┬──────┬───────────────┬─────────────────────► seconds of products of one kind
                 └ second tile          └ fourth tile           a trial is due when they have taken as long as
                        └ third tile                            all trials so far and the next one

To compile the kernel for another tile takes seconds, a closure of 16,384 states 50 ms. Whoever computes a few is served
by the tile that fits by its size, whoever computes thousands by the fastest, and trials take no longer than products
did: a skier who does not know how long the winter is rents until he has paid the price of skis. Every tile gives the
same Booleans, so that a trial changes when a result is there and never what it is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ....ir.errors import ScissionError
from ....ir.reason import Reason
from .launching import Arrays, Operand
from .tiles import Tile, by_fit, default_tile
from .trial import divided, seconds_of, why_not_tile

if TYPE_CHECKING:
    import torch

__all__ = ["TileError", "TileRace", "tile_for"]

RATE = 1e15  # operations a second of a large card, so that the work is rather thought too short than too long
TRIAL = 1.0  # seconds that the first trial is thought to take, its compilation included
CLEARLY = 0.99  # of the time of the first tile, below which another is used instead


class TileError(ScissionError):
    """A device that can use no tile of the kernel."""


@dataclass(slots=True)
class TileRace:
    """Tiles for products of one kind: `left` were not timed yet, the likeliest first; `taken`: seconds of the others.

    work, spent: seconds of products, as a large card computes them, and of trials; next: seconds that another trial is
    thought to take, which is what the last one took.
    """

    left: list[Tile]
    taken: dict[Tile, float] = field(default_factory=dict)
    work: float = 0.0
    spent: float = 0.0
    next: float = TRIAL

    def pick(self, work: float, why_not: Callable[[Tile], Reason | None], seconds: Callable[[Tile], float]) -> Tile:
        """The tile for one more product, thought to take `work` seconds, after all trials that are due.

        why_not: why a tile cannot be used; seconds: of a product with one that can. Raises TileError where none can.
        """
        while not self.taken and (reason := why_not(self.left[0])) is not None:
            if len(self.left) == 1:
                raise TileError(f"the kernel for Boolean products cannot be used: {reason}")
            del self.left[0]
        self.work += work
        while self.left and self.spent + self.next <= self.work:
            begin, due = time.monotonic(), 1 if self.taken else 2  # the first is only something to compare with
            tried, self.left = self.left[:due], self.left[due:]
            self.taken |= {tile: seconds(tile) for tile in tried if why_not(tile) is None}
            self.next = time.monotonic() - begin
            self.spent += self.next
        if not self.taken:
            return self.left[0]
        first, best = next(iter(self.taken)), min(self.taken, key=self.taken.__getitem__)
        return best if self.taken[best] < CLEARLY * self.taken[first] else first


_races: dict[Any, TileRace] = {}
_lock = threading.Lock()


def tile_for(arrays: Arrays, operand: Operand) -> Tile:
    """The tile for a product: on CUDA the fastest of those that were tried, elsewhere the one for its size.

    Tiles are tried once in a process for products of one kind: on one device, of one type of operand, squares or not,
    with sides of as many bits. Raises TileError where a CUDA device can use none.
    """
    m, n, k = arrays.extents
    device = arrays.left.device
    if device.type != "cuda":
        return default_tile(m, n)
    even = divided(arrays)
    kind = device, operand, arrays.squared, even, tuple(side.bit_length() for side in (m, n, k))
    with _lock:
        race = _races.setdefault(kind, TileRace(by_fit(m, n, _shared(device))))
        return race.pick(
            2 * m * n * k / RATE,
            lambda tile: why_not_tile(device, tile, operand, arrays.squared, even),
            lambda tile: seconds_of(arrays, tile, operand),
        )


def _shared(device: torch.device) -> int:
    """Bytes of shared memory that a program may ask for, where torch knows it; else those of Hopper."""
    import torch

    return getattr(torch.cuda.get_device_properties(device), "shared_memory_per_block_optin", 227 << 10)
