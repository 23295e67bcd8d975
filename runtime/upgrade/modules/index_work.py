"""The index work around blocks: features are picked for a stack of equal blocks, and its results are put in place.

Neither does arithmetic, but for outputs that several blocks write, which are added (section 4.3 of the paper).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from .layer_error import LayerError

__all__ = ["Pick", "PutBack", "added", "rows_of", "stacks_of"]

Indices = npt.NDArray[np.int64]


def stacks_of(shapes: Sequence[tuple[int, ...]]) -> list[list[int]]:
    """Which blocks are of one shape, and so are computed by one batched product; each in its order.

    >>> stacks_of([(2, 3), (1, 1), (2, 3)])
    [[0, 2], [1]]
    """
    found: dict[tuple[int, ...], list[int]] = {}
    for index, shape in enumerate(shapes):
        found.setdefault(shape, []).append(index)
    return list(found.values())


def rows_of(x: Tensor, width: int) -> Tensor:
    """(…, K) as rows (M, K); raises LayerError where K is not `width`."""
    if not torch.jit.is_tracing() and x.shape[-1:] != (width,):
        raise LayerError(f"an input of shape {tuple(x.shape)} where the last size is to be {width}")
    return x.reshape(-1, width)


def added(y: Tensor, bias: Tensor | None) -> Tensor:
    """y + bias in the type of y, which under autocast is not that of the bias."""
    if bias is None:
        return y
    return y + (bias if bias.dtype == y.dtype else bias.to(y.dtype))


class Pick(nn.Module):
    """From rows (M, K) the features of B equal blocks, (B, M, k); a view where they follow one another."""

    def __init__(self, features: Sequence[Indices]) -> None:
        super().__init__()
        joined = np.concatenate(features)
        self.blocks, self.start = len(features), int(joined[0])
        run = bool((np.diff(joined) == 1).all())
        self.register_buffer("at", None if run else torch.from_numpy(joined), persistent=False)
        self.width = joined.size

    def forward(self, x: Tensor) -> Tensor:
        """(M, K) -> (B, M, k)."""
        picked = x.narrow(1, self.start, self.width) if self.at is None else x.index_select(1, self.at)
        return picked.unflatten(1, (self.blocks, self.width // self.blocks)).transpose(0, 1)


class PutBack(nn.Module):
    """Results of stacks, each (B, M, n), as rows (M, N): 0 where no block writes, a sum where several do."""

    def __init__(self, outputs: Sequence[Indices], size: int) -> None:
        super().__init__()
        joined = np.concatenate(outputs) if outputs else np.zeros(0, np.int64)
        uses = np.bincount(joined, minlength=size)
        self.size, self.adds = size, bool((uses > 1).any())
        at: Any = joined
        if not self.adds:
            at = np.full(size, joined.size)  # the column of zeros behind them
            at[joined] = np.arange(joined.size)
        self.lacks = not self.adds and bool((uses == 0).any())
        in_order = not self.adds and np.array_equal(at, np.arange(size))
        self.register_buffer("at", None if in_order else torch.from_numpy(at), persistent=False)

    def forward(self, parts: Sequence[Tensor], like: Tensor) -> Tensor:
        """Results of the stacks -> (M, N); like: rows of what they were computed of."""
        rows = [part.transpose(0, 1).flatten(1) for part in parts]  # no size to be guessed, which no row would tell
        if not rows:  # a product over nothing, so that gradients are zeros and not missing
            return like.narrow(1, 0, 0) @ like.new_zeros(0, self.size)
        if self.lacks:
            rows.append(rows[0].new_zeros(like.shape[0], 1))
        joined = torch.cat(rows, 1) if len(rows) > 1 else rows[0]
        if self.adds:
            return joined.new_zeros(like.shape[0], self.size).index_add(1, self.at, joined)
        return joined if self.at is None else joined.index_select(1, self.at)
