"""The forms that a dense weight may be projected to: what each takes, and the weight of that form that loses least."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from ...ir.graph.linear import Linear
from ...ir.plan.decomposition import Decomposition
from ..factor.cost import factors_seconds
from ..factor.nearest import MonarchSplit
from ..lowering.linear.protocol import LinearLowering
from ..lowering.prices import Prices
from ..lowering.seconds import dense_seconds
from .block_low_rank import BlocksAndThin, block_low_rank
from .moments import Moments
from .monarch import MonarchFactors, monarch
from .reduced_rank import ThinFactors, reduced_rank

__all__ = ["BlockLowRankForm", "Form", "FormName", "LowRankForm", "MonarchForm", "Projected", "fitted"]

FormName: TypeAlias = Literal["low_rank", "block_low_rank", "monarch"]
Projected: TypeAlias = ThinFactors | BlocksAndThin | MonarchFactors  # `product` is the weight that they are


@dataclass(frozen=True, slots=True, kw_only=True)
class LowRankForm:
    """A product of two thin factors."""

    rank: int

    name: ClassVar[FormName] = "low_rank"

    def macs(self, linear: Linear) -> int:
        """Multiply-adds of one row."""
        return self.rank * sum(linear.shape)

    def seconds(self, linear: Linear, rows: int, prices: Prices) -> float:
        """Predicted for so many rows."""
        K, N = linear.shape
        itemsize = int(linear.dtype.itemsize)
        return sum(dense_seconds(shape, rows, itemsize, prices) for shape in ((K, self.rank), (self.rank, N)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BlockLowRankForm:
    """Blocks in a lowering, beside a product of two thin factors, which is none where the rank is 0."""

    blocks: Decomposition
    rank: int
    lowering: LinearLowering

    name: ClassVar[FormName] = "block_low_rank"

    def macs(self, linear: Linear) -> int:
        """Multiply-adds of one row."""
        return round(self.blocks.mac_share * math.prod(linear.shape)) + self.rank * sum(linear.shape)

    def seconds(self, linear: Linear, rows: int, prices: Prices) -> float:
        """Predicted for so many rows."""
        seconds = self.lowering.seconds(linear, self.blocks, rows, prices)
        if not self.rank:
            return seconds
        added = prices.node_s + linear.shape[1] * rows * prices.elementwise_s
        return seconds + added + LowRankForm(rank=self.rank).seconds(linear, rows, prices)


@dataclass(frozen=True, slots=True, kw_only=True)
class MonarchForm:
    """Two block-diagonal factors, whose slices are of this rank."""

    split: MonarchSplit
    rank: int

    name: ClassVar[FormName] = "monarch"

    def macs(self, linear: Linear) -> int:
        """Multiply-adds of one row."""
        return self.split.factors(self.rank).macs

    def seconds(self, linear: Linear, rows: int, prices: Prices) -> float:
        """Predicted for so many rows."""
        return factors_seconds(self.split.factors(self.rank), linear.layout, rows, prices)


Form: TypeAlias = LowRankForm | BlockLowRankForm | MonarchForm


def fitted(form: Form, moments: Moments, sweeps: int | None = None, start: ThinFactors | None = None) -> Projected:
    """The weight of a form that loses least on samples, as it is stored.

    sweeps: of alternating least squares at the most; start: the best product of thin factors of this rank or a higher
    one, where it is known.
    """
    more = {} if sweeps is None else {"sweeps": sweeps}
    if isinstance(form, LowRankForm):
        return reduced_rank(moments, form.rank)
    if isinstance(form, BlockLowRankForm):
        thin = None if start is None else start.first(form.rank)
        return block_low_rank(moments, form.blocks, form.rank, start=thin, **more)
    return monarch(moments, form.split, form.rank, **more)
