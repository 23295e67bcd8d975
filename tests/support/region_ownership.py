"""Which planted block each element of a value comes from, at one concrete shape."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FREE, MIXED = -2, -1  # an element of every block, of several
EXTENTS = {"N": 3, "S": 5}  # at which ownership is tracked


@dataclass(eq=False)
class Val:
    name: str
    shape: tuple  # ints and symbols
    owner: np.ndarray  # at EXTENTS
    inner: bool = True  # of the model's floating type

    @property
    def rank(self):
        return len(self.shape)


def concrete(shape, extents=EXTENTS):
    return tuple(extents.get(n, n) for n in shape)


def combine(*owners):
    owners = np.broadcast_arrays(*owners)
    out = owners[0].copy()
    for other in owners[1:]:
        out = np.where(out == other, out, np.where(out == FREE, other, np.where(other == FREE, out, MIXED)))
    return out


def bind(owner, axes, keepdims=True):
    """All along some axes together."""
    axes = tuple(a % owner.ndim for a in axes)
    lead = np.where(owner == FREE, np.iinfo(np.int64).min, owner)
    high = lead.max(axis=axes, keepdims=True)
    low = np.where(owner == FREE, np.iinfo(np.int64).max, owner).min(axis=axes, keepdims=True)
    free = (owner == FREE).all(axis=axes, keepdims=True)
    out = np.where(free, FREE, np.where(high == low, high, MIXED))
    return out if keepdims else out.squeeze(axes)
