"""Weights as blocks beside a product of low rank, fitted to samples by alternating least squares.

      W (K, N)        blocks              rest of rank r
    █ █ ▒ ▒ ▒       █ █ . . .           ▒ ▒ ▒ ▒ ▒
    █ █ ▒ ▒ ▒   ≈   █ █ . . .     +     ▒ ▒ ▒ ▒ ▒   = U V
    ▒ ▒ █ █ █       . . █ █ █           ▒ ▒ ▒ ▒ ▒

Given the product, each block is a least squares problem of its own; given the blocks, so is either thin factor beside
the other one. Each step of a sweep is an optimum, so that the loss never grows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...ir.plan.decomposition import Decomposition
from .moments import Float64, Moments
from .reduced_rank import ThinFactors, reduced_rank

__all__ = ["BlocksAndThin", "block_low_rank"]

SWEEPS = 24
STALLED = 0.99  # of the loss before: a sweep that gains less is the last


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BlocksAndThin:
    """masked (K, N): a weight with nothing outside of its blocks; thin: what is added to it; losses: of each sweep."""

    masked: Float64
    thin: ThinFactors
    losses: tuple[float, ...]

    @property
    def product(self) -> Float64:
        """(K, N): both together."""
        return self.masked + self.thin.product


def block_low_rank(
    moments: Moments, blocks: Decomposition, rank: int, sweeps: int = SWEEPS, start: ThinFactors | None = None
) -> BlocksAndThin:
    """Blocks and a product of this rank, of which blocks may be anything within their rows and columns.

    The search begins with a product alone, `start` or the best there is, and ends where a sweep gains nothing worth it:
    it finds an optimum, which may be one among several.
    """
    thin = reduced_rank(moments, rank) if start is None else start
    masked = _within(moments, blocks, moments.best - thin.product)
    losses = [moments.loss(masked + thin.product)]
    exact = np.finfo(np.float64).eps * max(moments.energy, np.finfo(np.float64).tiny)
    for _ in range(sweeps if rank else 0):
        found = _alternated(moments, thin, moments.best - masked)
        within = _within(moments, blocks, moments.best - found.product)
        loss = moments.loss(within + found.product)
        if loss >= losses[-1]:  # by rounding alone
            break
        thin, masked = found, within
        losses.append(loss)
        if loss <= exact or loss > STALLED * losses[-2]:
            break
    return BlocksAndThin(masked=masked, thin=thin, losses=tuple(losses))


def _alternated(moments: Moments, thin: ThinFactors, wanted: Float64) -> ThinFactors:
    """One factor after the other, each the best beside the other one."""
    basis, _ = np.linalg.qr(thin.right.T)
    left = wanted @ basis  # whatever the inputs are like
    read = moments.gram @ left
    right = np.linalg.lstsq(left.T @ read, read.T @ wanted, rcond=None)[0]
    return ThinFactors(left=left, right=right)


def _within(moments: Moments, blocks: Decomposition, wanted: Float64) -> Float64:
    """The weight with nothing outside of blocks that comes nearest to a weight."""
    found = np.zeros_like(wanted)
    for block in blocks.blocks:
        own = moments.gram[np.ix_(block.inputs, block.inputs)]
        read = moments.gram[block.inputs] @ wanted[:, block.outputs]
        found[np.ix_(block.inputs, block.outputs)] = np.linalg.solve(own, read)
    return found
