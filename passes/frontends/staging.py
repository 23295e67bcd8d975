"""The weight of a frame as two stages, the first of which reads pieces that frames begin at.

A frame is q pieces of p samples, and the next one begins a whole number of pieces later:

    pieces (p, L)       0 1 2 3 4 5 6 7 …         row b has sample b of every piece
    frame 0             └─ q ─┘
    frame 1                 └─ q ─┘               each row is convolved by kernels of q places of its own,
                                                  (m, q), with a stride of hop / p: that is the first stage

so nothing is copied to make frames that overlap, and windows and twiddle factors are in the kernels. A row is no copy
either: it is every p-th sample.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..factor.certificate import RoundingCertificate, certify
from ..factor.factorise import Recipe, follow
from ..factor.known_orders import RadixSplit, splits
from ..factor.stages import Factors
from ..lowering.prices import FLOAT_BYTES, Prices
from ..lowering.seconds import copy_seconds, products_seconds
from .emphasis import QUIET, QUIET_TRANSFORM, quiet_outputs
from .framed import Framed

__all__ = ["SMALLEST", "FrameStages", "best_stages", "follow_stages", "stages_seconds"]

SMALLEST = 48  # samples of a frame, and outputs; smaller products are as fast as what stands around them
EVEN = (8, 32)  # samples of a piece, within which stages are best
TRIED = 3  # sizes of pieces whose stages are made
VIEWS = 6  # nodes that change the shape of a tensor only


@dataclass(frozen=True, slots=True, eq=False)
class FrameStages:
    """split: where outputs of one class lie, its stride being samples of a piece; factors: the two stages; whole: the
    outputs that are computed without them, as far as more of their digits are right then."""

    split: RadixSplit
    factors: Factors
    certificate: RoundingCertificate
    whole: npt.NDArray[np.int64]

    @property
    def macs(self) -> int:
        """Multiply-adds of one frame."""
        return self.factors.macs + self.factors.inputs * self.whole.size

    @property
    def pieces(self) -> int:
        """Of a frame."""
        return self.factors.stages[0].radix

    @property
    def made(self) -> int:
        """Numbers that the first stage makes of each row of pieces."""
        return int(self.factors.stages[0].weight.shape[3])


def best_stages(one: Framed, seconds: Callable[[FrameStages], float]) -> FrameStages | None:
    """The stages of a product of frames that take least; None where its weight has none, or frames overlap by parts of
    pieces."""
    if min(one.weight.shape) < SMALLEST or not np.isfinite(one.weight).all():
        return None
    even = math.log(min(max(math.sqrt(one.weight.shape[0]), EVEN[0]), EVEN[1]))
    options = [split for split in splits(one.weight) if one.hop % split.stride == 0]
    made: dict[int, FrameStages] = {}
    for stride in sorted(
        {split.stride for split in options}, key=lambda stride: (abs(math.log(stride) - even), stride)
    ):
        if len(made) == TRIED:
            break
        if (found := _of_pieces(one, [split for split in options if split.stride == stride])) is not None:
            made[stride] = found
    return min(made.values(), key=seconds, default=None)


def _of_pieces(one: Framed, options: Sequence[RadixSplit]) -> FrameStages | None:
    """The smallest stages of pieces of one size: outputs that lie another step apart may make many classes of a few."""
    best: FrameStages | None = None
    for split in sorted(options):
        found = _staged(one, split)
        if found is not None and (best is None or found.macs < best.macs):
            best = found
        if best is not None and best.made <= best.pieces + best.factors.stages[0].ranks:
            break  # slices of full rank need as many
    return best


def follow_stages(one: Framed, places: int, gap: int) -> FrameStages | None:
    """The stages of a product of frames that is split so; None where it cannot be."""
    if places < 1 or one.hop % places or one.weight.shape[0] % places:
        return None
    return _staged(one, RadixSplit(stride=places, step=gap))


def _staged(one: Framed, split: RadixSplit) -> FrameStages | None:
    factors = follow(one.weight, Recipe(splits=(split,)))
    if factors is None or len(factors.stages) != 2 or factors.scale is not None:
        return None
    quiet = quiet_outputs(one.weight, one.emphasis, QUIET if one.transform is None else QUIET_TRANSFORM)
    found = FrameStages(split, factors, certify(one.weight, factors), quiet)
    return found if found.certificate.holds and found.macs < one.weight.size else None


def stages_seconds(one: Framed, stages: FrameStages, batch: int, frames: int, prices: Prices) -> float:
    """Predicted seconds of the stages, for so many frames of each signal: a convolution of each place, what brings
    their results together, a stack of products, and what picks outputs."""
    places, (first, last) = stages.split.stride, stages.factors.stages
    made, rows = stages.made, batch * frames
    seconds = products_seconds([(stages.pieces + 2, made)] * places, rows, FLOAT_BYTES, prices.left())
    seconds += places * made * copy_seconds(places * made, rows, FLOAT_BYTES, prices) + prices.node_s
    groups = made // first.ranks
    shapes = [(int(last.weight.shape[2]), int(last.weight.shape[3]))] * groups
    seconds += products_seconds(shapes, rows, FLOAT_BYTES, prices.left(), nodes=1) + groups * prices.batched_block_s
    if stages.whole.size:
        shape = int(one.weight.shape[0]), int(stages.whole.size)
        seconds += products_seconds([shape], rows, FLOAT_BYTES, prices) + prices.node_s
    outputs = int(stages.factors.order.size)
    copied: float = outputs * (prices.find_row_s + copy_seconds(outputs, rows, FLOAT_BYTES, prices))
    return seconds + copied + prices.node_s + VIEWS * prices.view_s
