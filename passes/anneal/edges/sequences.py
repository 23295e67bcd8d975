"""The edges of a feed-forward network between states, as sequences of weights.

In d -> C·d -> d the edge from state k to state n has one weight in each matrix of each channel. That ties hidden
unit n of a channel to state n. Source: section 2.1 of the paper, equation (2.3), there with y = W x.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["edge_sequences", "spread"]

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


def edge_sequences(
    ups: Sequence[Array], downs: Sequence[Array], channels: int, gates: Sequence[Array] = ()
) -> tuple[Array, ...]:
    """The components of all sequences, 2C views of shape (d, d): entry (k, n) belongs to the edge from k to n.

    ups: canonical U_i (d, H_i); downs: V_i (H_i, d); all H_i multiples of d, together C·d. First come the C channels
    of the ups, U[k, c·d + n], then those of the downs, V[c·d + k, n]; with gates, as many and of the shapes of the
    ups, their C channels lie between. Raises ValueError when the shapes are others.

    >>> U, V = np.arange(8).reshape(2, 4), np.arange(8).reshape(4, 2)
    >>> [component.tolist() for component in edge_sequences([U], [V], 2)]
    [[[0, 1], [4, 5]], [[2, 3], [6, 7]], [[0, 1], [2, 3]], [[4, 5], [6, 7]]]
    """
    d, H, out = _sizes(ups, downs, gates)
    if d != out or channels * d != H or any(up.shape[1] % d or not up.size for up in ups):
        raise ValueError(f"weights {_told(ups, downs, gates)} are no {channels} channels of a network d -> C·d -> d")
    into = [part for W in (*ups, *gates) for part in np.split(W, W.shape[1] // d, axis=1)]
    return (*into, *(part for V in downs for part in np.split(V, V.shape[0] // d)))


def spread(mask: Mask, channels: int) -> tuple[Mask, Mask]:
    """A decision on edges (d, d) as masks of the two weights (d, C·d) and (C·d, d): one edge in all its places.

    The mask of a gate is that of the first weight. Where channels lie in several matrices each takes its own columns,
    and rows, in order. Raises ValueError when the mask is not square.

    >>> up, down = spread(np.array([[True, False], [True, True]]), 2)
    >>> up.astype(int).tolist(), down.astype(int).tolist()
    ([[1, 0, 1, 0], [1, 1, 1, 1]], [[1, 0], [1, 1], [1, 0], [1, 1]])
    """
    if mask.ndim != 2 or mask.shape[0] != mask.shape[1]:
        raise ValueError(f"a decision on the edges between d states has shape (d, d), not {mask.shape}")
    return np.tile(mask, (1, channels)), np.tile(mask, (channels, 1))


def _sizes(ups: Sequence[Array], downs: Sequence[Array], gates: Sequence[Array]) -> tuple[int, int, int]:
    """d, all hidden units and d' of a network; raises ValueError when the shapes are not of one."""
    if ups and downs and all(len(W.shape) == 2 for W in (*ups, *downs)):
        d, out = ups[0].shape[0], downs[0].shape[1]
        shapes = [up.shape for up in ups]
        fit = all(up == (d, up[1]) for up in shapes) and [(H, out) for _, H in shapes] == [V.shape for V in downs]
        if fit and d and (not gates or shapes == [G.shape for G in gates]):
            return d, sum(H for _, H in shapes), out
    raise ValueError(f"shapes {_told(ups, downs, gates)} are no network d -> H -> d'")


def _told(*sides: Sequence[Array]) -> str:
    return " | ".join(", ".join(str(W.shape) for W in side) for side in sides if side)
