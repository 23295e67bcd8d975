"""A block matrix whose blocks are known and hidden by permutations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..ir.plan.plan import Block, Decomposition

__all__ = ["Array", "Sizes", "by_first_output", "transposed", "weight"]

Array = npt.NDArray[Any]
Sizes = Sequence[tuple[int, int]]


def weight(
    rng: np.random.Generator,
    sizes: Sizes,
    dormant: tuple[int, int] = (0, 0),
    dtype: npt.DTypeLike = np.float32,
    contiguous: bool = False,
) -> tuple[Array, Decomposition]:
    """A matrix W (K, N) of dense blocks on independently permuted rows and columns, and its true decomposition.

    sizes: (inputs, outputs) of every block; dormant: rows and columns of zeros beside them; contiguous: no permutation,
    blocks along the diagonal and dormant features last. Inside a block 1/4 <= |W| < 1, so that rounding to fp16 or
    int8 keeps every edge. Raises PlanError when a block has no input or no output.

    >>> W, truth = weight(np.random.default_rng(0), [(1, 2), (3, 1)], dormant=(1, 0))
    >>> W.shape, [block.shape for block in truth.blocks], int(np.count_nonzero(W))
    ((5, 3), [(1, 2), (3, 1)], 5)
    """
    K, N = (sum(size[side] for size in sizes) + dormant[side] for side in (0, 1))
    order = np.arange if contiguous else rng.permutation
    rows = _cut(order(K), [k for k, _ in sizes])
    columns = _cut(order(N), [n for _, n in sizes])
    W = np.zeros((K, N), dtype)
    for inputs, outputs in zip(rows, columns, strict=True):
        shape = inputs.size, outputs.size
        W[np.ix_(inputs, outputs)] = rng.uniform(0.25, 1, shape) * rng.choice([-1, 1], shape)
    blocks = (Block(np.sort(i), np.sort(o)) for i, o in zip(rows, columns, strict=True))
    return W, Decomposition((K, N), by_first_output(blocks))


def by_first_output(blocks: Iterable[Block]) -> tuple[Block, ...]:
    """The blocks sorted by their smallest output index: the order in which every truth lists them."""
    return tuple(sorted(blocks, key=lambda block: int(block.outputs[0])))


def transposed(truth: Decomposition) -> Decomposition:
    """The decomposition of Wᵀ, given that of W; raises PlanError when blocks of W share inputs."""
    K, N = truth.shape
    return Decomposition((N, K), by_first_output(Block(b.outputs, b.inputs) for b in truth.blocks))


def _cut(order: Array, lengths: list[int]) -> list[Array]:
    return np.split(order, np.cumsum(lengths))[:-1]
