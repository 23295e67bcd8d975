"""The weight of a frame as two stages, the first of which reads pieces that frames begin at.

A frame is q pieces of p samples, and the next one begins a whole number of pieces later:

    pieces (p, L)       0 1 2 3 4 5 6 7 …         row b has sample b of every piece
    frame 0             └─ q ─┘
    frame 1                 └─ q ─┘               each row is convolved by kernels of q places of its own,
                                                  (m, q), with a stride of hop / p: that is the first stage

so nothing is copied to make frames that overlap, and windows and twiddle factors are in the kernels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..factor.certificate import RoundingCertificate, certify
from ..factor.factorise import Recipe, follow
from ..factor.known_orders import RadixSplit, splits
from ..factor.stages import Factors
from ..lowering.prices import FLOAT_BYTES, Prices
from ..lowering.seconds import copy_seconds, products_seconds, turned_blocks_seconds
from .framed import Framed

__all__ = ["FrameStages", "best_stages", "follow_stages", "stages_seconds"]

SMALLEST = 48  # samples of a frame, and outputs; smaller products are as fast as what stands around them
EVEN = (8, 32)  # samples of a piece, within which stages are best
TRIED = 3  # sizes of pieces whose stages are made
VIEWS = 6  # nodes that change the shape of a tensor only


@dataclass(frozen=True, slots=True, eq=False)
class FrameStages:
    """split: where outputs of one class lie, its stride being samples of a piece; factors: the two stages."""

    split: RadixSplit
    factors: Factors
    certificate: RoundingCertificate

    @property
    def pieces(self) -> int:
        """Of a frame."""
        return self.factors.stages[0].radix


def best_stages(one: Framed, seconds: Callable[[FrameStages], float]) -> FrameStages | None:
    """The stages of a product of frames that take least; None where its weight has none, or frames overlap by parts of
    pieces."""
    if min(one.weight.shape) < SMALLEST or not np.isfinite(one.weight).all():
        return None
    even = math.log(min(max(math.sqrt(one.weight.shape[0]), EVEN[0]), EVEN[1]))
    options = [split for split in splits(one.weight) if one.hop % split.stride == 0]
    made: dict[int, FrameStages] = {}
    for split in sorted(options, key=lambda split: (abs(math.log(split.stride) - even), split.rank, split.step)):
        if len(made) == TRIED:
            break
        if split.stride not in made and (found := _staged(one, split)) is not None:
            made[split.stride] = found
    return min(made.values(), key=seconds, default=None)


def follow_stages(one: Framed, places: int, gap: int) -> FrameStages | None:
    """The stages of a product of frames that is split so; None where it cannot be."""
    if places < 1 or one.hop % places or one.weight.shape[0] % places:
        return None
    return _staged(one, RadixSplit(stride=places, step=gap))


def _staged(one: Framed, split: RadixSplit) -> FrameStages | None:
    factors = follow(one.weight, Recipe(splits=(split,)))
    if factors is None or len(factors.stages) != 2 or factors.scale is not None or factors.macs >= one.weight.size:
        return None
    certificate = certify(one.weight, factors)
    return FrameStages(split, factors, certificate) if certificate.holds else None


def stages_seconds(one: Framed, stages: FrameStages, batch: int, frames: int, prices: Prices) -> float:
    """Predicted seconds of the stages, for so many frames of each signal: two convolutions, one stack of products, one
    change of order between them and one behind them."""
    places, (first, last) = stages.split.stride, stages.factors.stages
    made, rows = int(first.weight.shape[3]), batch * frames
    pieces = batch * (frames * one.hop // places + stages.pieces)
    seconds = products_seconds([(places, places)], pieces, FLOAT_BYTES, prices)
    seconds += products_seconds([(stages.pieces, made)] * places, rows, FLOAT_BYTES, prices.left(), nodes=1)
    seconds += turned_blocks_seconds(places * made * rows, FLOAT_BYTES, prices)
    groups = made // first.ranks
    shapes = [(int(last.weight.shape[2]), int(last.weight.shape[3]))] * groups
    seconds += products_seconds(shapes, rows, FLOAT_BYTES, prices.left(), nodes=1) + groups * prices.batched_block_s
    outputs = int(stages.factors.order.size)
    copied: float = outputs * (prices.find_row_s + copy_seconds(outputs, rows, FLOAT_BYTES, prices))
    return seconds + copied + prices.node_s + VIEWS * prices.view_s
