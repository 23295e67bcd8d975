"""Blocks padded to one shape, so that one node computes them all.

A block that is smaller than the others reads some of its inputs twice, and the two share their weight: halves, quarters
and so on, which are exact in binary. Zero weights instead would turn an infinity into a NaN (0 · Inf) where the dense
product has none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ....ir.graph.linear import Linear
from ....ir.plan.plan import Block, Decomposition, Indices
from ....ir.reason import Cause, Reason
from ..prices import Prices
from ..seconds import (
    boundary_seconds,
    moved_ends,
    products_seconds,
    residual_seconds,
)

__all__ = [
    "Stack",
    "pad",
    "pad_blocks",
    "padded_ends",
    "padded_entries",
    "padded_seconds",
    "padded_shape",
    "why_not_padded",
    "why_not_stored",
]

Array = npt.NDArray[Any]
RESHAPES = 2  # to blocks and back


# Blocks of 3 and of 2 inputs in one stack of k = 3: the narrow one reads its first input twice, at half of its weight.
#
#      inputs    shares           weight (B, k, n)             what is computed
#     ┌ 0 1 2    1   1  1       w0     w1     w2               x0·w0 + x1·w1 + x2·w2
#     └ 3 4 3    1/2 1  1/2     w3/2   w4     w3/2             x3·w3/2 + x4·w4 + x3·w3/2  =  x3·w3 + x4·w4
#
# Why not a zero: 0 · Inf is NaN, so an infinite x3 would spoil a result that the dense product has as Inf. Halving a
# binary number is exact until it is subnormal; `_shared` looks for those and leaves them whole at one reading.


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """Blocks padded to one shape.

    inputs: (B, k) what each reads, some more than once; shares: (B, k) of the weight, those of the readings of one
    input of a block add up to 1; outputs: (B, n) what each computes, -1 where nobody reads it, dormant ones among them;
    dormant: the outputs that are, whose columns are zeros whatever the weight has there; count: all N.
    """

    inputs: Indices
    shares: npt.NDArray[np.float64]
    outputs: Indices
    dormant: Indices
    count: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """(B, k, n)."""
        return (*self.inputs.shape, self.outputs.shape[1])

    def weight(self, canonical: Array) -> Array:
        """The blocks of a canonical weight (K, N), stacked: (B, k, n)."""
        B, k, n = self.shape
        stacked = np.zeros((B, k, n), canonical.dtype)
        for index in range(B):
            # Dormant outputs have room in the stack but no weight: their results are the zeros of the dense product.
            used = np.flatnonzero((self.outputs[index] >= 0) & ~np.isin(self.outputs[index], self.dormant))
            part = canonical[np.ix_(self.inputs[index], self.outputs[index, used])]
            share = self.shares[index][:, None]
            if (share != 1).any():  # most stacks are of blocks of one size, which are copied as they are
                part = _shared(part, share, self.inputs[index])
            stacked[index][:, used] = part
        return stacked

    def places(self) -> Indices:
        """Where each of the N outputs lies among the B·n results one after another."""
        flat = self.outputs.reshape(-1)
        used = np.flatnonzero(flat >= 0)
        places = np.empty(self.count, np.int64)
        places[flat[used]] = used
        return places

    def spread(self, vector: Array) -> Array:
        """A vector (N,) as (B·n,), zero where nobody reads."""
        flat = self.outputs.reshape(-1)
        return np.where(flat >= 0, vector[flat], np.zeros(1, vector.dtype)).astype(vector.dtype)


def _shared(part: Array, share: npt.NDArray[np.float64], inputs: Indices) -> Array:
    """Rows times their shares; an entry too small for that to be exact stays whole, at the first of its readings."""
    with np.errstate(all="ignore"):
        exact = part.astype(np.float64)  # wide enough for every share of a float32: what is lost shows in its inverse
        scaled = (exact * share).astype(part.dtype)
        lossy = scaled.astype(np.float64) / share != exact
    if not lossy.any():
        return scaled
    first = np.zeros(inputs.size, bool)
    first[np.unique(inputs, return_index=True)[1]] = True
    # One reading that is inexact makes all readings of that input whole or nothing, or their sum would be off.
    lossy = np.stack([lossy[inputs == i].any(axis=0) for i in inputs])
    return np.where(lossy, np.where(first[:, None], part, np.zeros_like(part)), scaled)


def padded_shape(decomposition: Decomposition, tile: int = 1) -> tuple[int, int, int]:
    """(B, k, n) of the blocks of a decomposition when padded to one shape, in which dormant outputs have room.

    >>> from ....ir.plan.plan import Block
    >>> padded_shape(Decomposition((6, 4), (Block([0, 1], [0]), Block([2, 3, 4], [1]))), tile=2)
    (2, 4, 2)
    """
    blocks = decomposition.blocks
    k = max(block.inputs.size for block in blocks)
    # Dormant outputs need a place as well, so that one Gather at the end finds every output of the linear.
    n = max(max(block.outputs.size for block in blocks), -(-decomposition.shape[1] // len(blocks)))
    return len(blocks), -(-k // tile) * tile, -(-n // tile) * tile


def pad(decomposition: Decomposition, tile: int = 1) -> Stack:
    """The blocks padded to one shape whose sides are multiples of `tile`, the dormant outputs among the padding."""
    _, k, n = padded_shape(decomposition, tile)
    return pad_blocks(decomposition.blocks, k, n, decomposition.dormant_outputs, decomposition.shape[1])


def pad_blocks(blocks: Sequence[Block], k: int, n: int, dormant: Indices, count: int) -> Stack:
    """Blocks padded to k inputs and n outputs, among which there is room for some dormant outputs; count: all N."""
    inputs, shares = np.empty((len(blocks), k), np.int64), np.empty((len(blocks), k))
    outputs = np.full((len(blocks), n), -1, np.int64)
    for index, block in enumerate(blocks):
        inputs[index] = np.resize(block.inputs, k)  # its inputs over and over
        shares[index] = _shares(block.inputs.size, k)
        outputs[index, : block.outputs.size] = block.outputs
    flat = outputs.reshape(-1)  # a view
    free = np.flatnonzero(flat < 0)
    flat[free[: dormant.size]] = dormant
    return Stack(inputs, shares, outputs, dormant, count)


def _shares(size: int, k: int) -> npt.NDArray[np.float64]:
    """Powers of two for k readings of `size` inputs in turn, that add up to 1 for each input.

    >>> _shares(2, 5).tolist()
    [0.5, 0.5, 0.25, 0.5, 0.25]
    """
    # An input read c times, 2^e <= c < 2^(e+1), gets 2^(e+1) - c shares of 2^-e and the rest of half of that:
    # c = 3 is 1/2 + 1/4 + 1/4. Equal shares 1/c would not be exact in binary.
    place = np.arange(k)
    turn, copies = place // size, -(-(k - place % size) // size)
    exponent = np.floor(np.log2(copies)).astype(np.int64)
    whole = (2 << exponent) - copies  # as many have 2^-exponent, the others half of it
    return np.asarray(np.ldexp(1.0, np.where(turn < whole, -exponent, -exponent - 1)), np.float64)


def padded_entries(found: Decomposition, tile: int) -> int:
    """Entries of the weights of all blocks when padded to one shape."""
    return math.prod(padded_shape(found, tile))


def why_not_padded(found: Decomposition, tile: int) -> Reason | None:
    """Why blocks had better not be padded to one shape."""
    B, k, n = padded_shape(found, tile)
    if B * k * n < found.shape[0] * found.shape[1]:
        return None
    told = f"{B} blocks padded to {k}x{n} need no fewer multiply-adds than the dense weight; use 'scatter'"
    return Reason(Cause.BLOCKS, told)


def why_not_stored(linear: Linear, name: str) -> Reason | None:
    """Why the weight of a linear cannot be stored anew as one tensor of all blocks, by the lowering of a name."""
    if linear.fused:
        return Reason(Cause.FUSED, f"'{name}' cannot compute the activation function of {linear.op}; use 'scatter'")
    if linear.is_dequantised:
        return Reason(Cause.QUANTISED, f"'{name}' would store its quantised weight in floating point; use 'scatter'")
    return None


def padded_ends(found: Decomposition, tile: int) -> list[int]:
    """How many features are brought into block order, and how many back, where any are."""
    B, k, n = padded_shape(found, tile)
    even = all(block.shape == (k, n) for block in found.blocks)
    return moved_ends(found.blocks, found) if even else [B * k, found.shape[1]]


def padded_seconds(linear: Linear, found: Decomposition, rows: int, prices: Prices) -> float:
    """All blocks computed by one node, two Reshapes around it, and a Gather of rows for each end that moves."""
    itemsize = int(linear.dtype.itemsize)
    tile = prices.tile(itemsize)
    B, k, n = padded_shape(found, tile)
    ends = padded_ends(found, tile)
    seconds = RESHAPES * prices.node_s + products_seconds([(B * k, n)], rows, itemsize, prices.stacked(), depth=k)
    seconds += B * prices.batched_block_s + residual_seconds(found, rows, itemsize, prices)
    row = prices.find_row_s + rows * prices.copy_s * prices.moved(itemsize)
    seconds += len(ends) * prices.node_s + sum(ends) * row
    return seconds + boundary_seconds(found.shape, linear.layout.boundary_transposes, rows, itemsize, prices)
