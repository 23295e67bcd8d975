"""A weight as one level of a hierarchical matrix: outputs that read one block of inputs, and all others by way of a few
functionals of each block.

                   near                far
    inputs    ┌─────────┬───────────────────────────────┐
    block 0   │ D0      │  U0 ·  ┌─────────────────┐    │     of a wavelet transform D are the details of a block, U its
    block 1   │    D1   │  U1 ·  │ joint (b · r, R) │    │     averages, and what is joint is the transform of these
    block 2   │      D2 │  U2 ·  └─────────────────┘    │
              └─────────┴───────────────────────────────┘

Which outputs are near follows from where a weight is zero. The rows of a block, without these, have a low rank: some of
their columns span all others (an interpolative decomposition: Cheng, Gimbutas, Martinsson, Rokhlin, 2005), so that most
factors are entries of the weight (Hackbusch, Hierarchical Matrices, 2015).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.linalg

from ...ir.brief import brief
from ..factor.certificate import NOTHING
from ..factor.classes import TOLERANCE
from ..factor.known_orders import GOLDEN, divisors
from ..factor.stages import Array

__all__ = ["NearFar", "block_sizes", "likely_sizes", "near_far"]

SMALLEST = 8  # inputs of a block
FEWEST = 4  # blocks
TRIED = 6  # sizes of blocks, those that are nearest to where near and far ones take as much
LEAST_NEAR = 0.25  # of the outputs: with fewer nothing is gained
MOST_RESULTS = 2  # times the outputs: all blocks make as many as the one that has most of them
SAMPLED = 64  # outputs that tell at which sizes there are so many
SAME = 2.0**-20  # of the largest entry: blocks that differ by less are one


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NearFar:
    """A weight (K, N): near (b or 1, k, o): what makes outputs of one block alone, one matrix where it is for all of
    them; far (b or 1, k, r): its functionals; joint (b · r, R): what is made of those of all blocks; order (N,): which
    result each output is, b · o near ones and R behind these."""

    blocks: int
    near: Array
    far: Array
    joint: Array
    order: npt.NDArray[np.int64]

    __repr__ = brief

    @property
    def size(self) -> int:
        """Inputs of a block."""
        return int(self.near.shape[1])

    @property
    def shared(self) -> bool:
        """Whether all blocks have one matrix."""
        return bool(self.near.shape[0] == 1)

    @property
    def macs(self) -> int:
        """Multiply-adds of one row."""
        made = int(self.near.shape[2] + self.far.shape[2])
        return self.blocks * self.size * made + int(self.joint.size)

    @property
    def roundings(self) -> int:
        """Those that one term goes through at most: sums over a block and over all functionals, and two factors."""
        return self.size + int(self.joint.shape[0]) + 2

    def product(self) -> Array:
        """The weight (K, N) that they make together."""
        return self._made(self.near, self.far, self.joint)

    def magnitude(self) -> Array:
        """(N,): for each output the sum over all paths of the absolute products along them."""
        paths: Array = self._made(abs(self.near), abs(self.far), abs(self.joint)).sum(axis=0)
        return paths

    def _made(self, near: Array, far: Array, joint: Array) -> Array:
        own, told = int(near.shape[2]), int(far.shape[2])
        made = np.zeros((self.blocks, self.size, self.order.size))
        owners = self.order // own
        rest = np.flatnonzero(owners >= self.blocks)
        behind = self.order[rest] - self.blocks * own
        for block in range(self.blocks):
            at, mine = 0 if self.shared else block, np.flatnonzero(owners == block)
            made[block][:, mine] = near[at][:, self.order[mine] - block * own]
            made[block][:, rest] = (far[at] @ joint[block * told : (block + 1) * told])[:, behind]
        whole: Array = made.reshape(self.blocks * self.size, -1)
        return whole


def block_sizes(inputs: int) -> list[int]:
    """Sizes of blocks that are tried, all of them divisors, the likeliest first.

    >>> block_sizes(1024)
    [64, 32, 128, 16, 8, 256]
    """
    sizes = [one for one in divisors(inputs) if SMALLEST <= one <= inputs // FEWEST]
    return sorted(sizes, key=lambda one: (abs(np.log2(one / np.sqrt(2 * inputs))), one))[:TRIED]


def likely_sizes(weight: npt.NDArray[np.floating]) -> list[int]:
    """Sizes of blocks at which some columns of a weight (K, N) allow that enough of them have all their entries in one
    block; none where at the smallest all of them may."""
    if not (sizes := block_sizes(len(weight))):
        return []
    columns = np.unique((np.arange(SAMPLED) * GOLDEN % 1 * weight.shape[1]).astype(np.int64))
    some = weight[:, columns]
    near = {size: float(np.mean(_live(some, size).sum(axis=0) <= 1)) for size in sizes}
    return [size for size in sizes if near[size] >= LEAST_NEAR] if near[min(sizes)] < 1 else []


def near_far(weight: npt.NDArray[np.floating], size: int) -> NearFar | None:
    """A weight (K, N) by blocks of so many inputs; None where it has no such blocks, few outputs are near, all are, or
    nothing is saved.

    Whether it is what comes of it has to be proved.
    """
    if len(weight) % size or not weight.size:
        return None
    live = _live(weight, size)
    blocks, counts = len(live), live.sum(axis=0)
    near, far = np.flatnonzero(counts == 1), np.flatnonzero(counts != 1)
    if near.size < LEAST_NEAR * weight.shape[1] or not far.size:
        return None
    whole = weight.astype(np.float64).reshape(blocks, size, -1)
    owners = live[:, near].argmax(axis=0)
    owned = [_in_order(whole[block], near[owners == block]) for block in range(blocks)]
    most = max(one.size for one in owned)
    if blocks * most + far.size > MOST_RESULTS * weight.shape[1]:
        return None
    details = np.zeros((blocks, size, most))
    order = np.empty(weight.shape[1], np.int64)
    for block, own in enumerate(owned):
        details[block, :, : own.size] = whole[block][:, own]
        order[own] = block * most + np.arange(own.size)
    order[far] = blocks * most + np.arange(far.size)
    rest = np.where(live[:, None, far], whole[:, :, far], 0)
    bases = _one_for_all(details, rest)
    if bases is None:
        bases = _of_each(rest)
    if bases is None:
        return None
    joint: Array = (np.linalg.pinv(bases) @ rest).reshape(-1, far.size).astype(np.float64)
    made = NearFar(blocks=blocks, near=details[: len(bases)], far=bases, joint=joint, order=order)
    return made if made.macs < weight.size else None


def _in_order(rows: Array, columns: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Some columns of the rows of a block by what they are, so that blocks that are alike have them in one order,
    whatever that of the outputs is."""
    probe = np.arange(len(rows)) ** 2 * GOLDEN % 1  # of which no two differences are alike
    return columns[np.argsort(probe @ rows[:, columns], kind="stable")]


def _one_for_all(details: Array, rest: Array) -> Array | None:
    """(1, k, r): what spans the rows of all blocks, where near ones are the same in all of them; None where it is no
    more than half of a block, or these are not."""
    if abs(details - details[0]).max() > SAME * abs(details).max():
        return None
    basis = _spanning(rest.transpose(1, 0, 2).reshape(rest.shape[1], -1))
    return None if basis is None else basis[None]


def _of_each(rest: Array) -> Array | None:
    """(blocks, k, r): what spans the rows of each block, zeros behind what some have less."""
    found = [_spanning(one) for one in rest]
    bases = [one for one in found if one is not None]
    if len(bases) < len(rest):
        return None
    most = max(one.shape[1] for one in bases)
    return np.stack([np.pad(one, ((0, 0), (0, most - one.shape[1]))) for one in bases])


def _spanning(rows: Array) -> Array | None:
    """(k, r): those columns of a matrix (k, n) that span all of them; None where more than half of k are needed."""
    columns = rows[:, abs(rows).max(axis=0) > 0]
    if not columns.size:
        return rows[:, :1]
    triangle, order = scipy.linalg.qr(columns, mode="r", pivoting=True)
    sizes = abs(np.diagonal(triangle))
    rank = int(np.count_nonzero(sizes > TOLERANCE * sizes[0]))
    return columns[:, order[:rank]] if 2 * rank <= len(rows) else None


def _live(weight: npt.NDArray[np.floating], size: int) -> npt.NDArray[np.bool_]:
    """(blocks, N): where a column has entries in a block, beside which others of it are not nothing."""
    entries = abs(weight)
    return np.asarray((entries > NOTHING * entries.max(axis=0)).reshape(-1, size, weight.shape[1]).any(axis=1))
