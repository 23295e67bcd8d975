"""Blocks that a few dense rows, dense columns and residual entries glue into one component."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...ir.plan.plan import Block, Decomposition
from ..matrix import Array, by_first_output, weight

__all__ = ["Glued", "build"]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Glued:
    """A square weight W (n, n) and what it is made of.

    blocks: those before the glue; inputs: sorted, each read by all outputs; outputs: sorted, each reads all inputs;
    residual: (s, 2) input and output of each entry outside all of these.
    """

    W: Array
    blocks: Decomposition
    inputs: Array
    outputs: Array
    residual: Array

    @property
    def cover(self) -> Decomposition:
        """The outputs of each block with all inputs that they read, which groups share; a dense output is one alone."""
        groups = [Block(np.arange(len(self.W)), output) for output in self.outputs[:, None]]
        for block in self.blocks.blocks:
            own = np.setdiff1d(block.outputs, self.outputs)
            residual = self.residual[np.isin(self.residual[:, 1], own), 0]
            if own.size:
                groups.append(Block(np.unique(np.concatenate([block.inputs, self.inputs, residual])), own))
        return Decomposition(self.blocks.shape, by_first_output(groups))


def build(
    rng: np.random.Generator,
    blocks: int = 16,
    size: int = 256,
    inputs: int = 1,
    outputs: int = 0,
    residual: int = 20,
    shuffle: bool = True,
) -> Glued:
    """`blocks` dense blocks (size, size), glued by this many dense inputs, dense outputs and residual entries.

    Dense inputs and outputs are some of the blocks' own. shuffle: inputs and outputs are permuted, each on their own;
    else blocks follow one another. Every entry that is not 0 has 1/4 <= |W| < 1. Raises ValueError when there are not
    that many inputs, outputs or free entries.

    >>> glued = build(np.random.default_rng(0), blocks=2, size=3, residual=1, shuffle=False)
    >>> glued.inputs.tolist(), glued.residual.tolist()
    ([4], [[2, 4]])
    >>> [(block.inputs.tolist(), block.outputs.tolist()) for block in glued.cover.blocks]
    [([0, 1, 2, 4], [0, 1, 2]), ([2, 3, 4, 5], [3, 4, 5])]
    """
    W, planted = weight(rng, [(size, size)] * blocks, contiguous=not shuffle)
    rows, columns = (np.sort(rng.choice(len(W), count, replace=False)) for count in (inputs, outputs))
    W[rows] = _values(rng, (inputs, len(W)))
    W[:, columns] = _values(rng, (len(W), outputs))
    entries = np.array(np.unravel_index(rng.choice(np.flatnonzero(W == 0), residual, replace=False), W.shape)).T
    W[entries[:, 0], entries[:, 1]] = _values(rng, (residual,))
    return Glued(W=W, blocks=planted, inputs=rows, outputs=columns, residual=entries)


def _values(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return np.asarray(rng.uniform(0.25, 1, shape) * rng.choice([-1, 1], shape), np.float32)
