"""A linear layer as rectangles that may share inputs, or outputs, with single entries beside them."""

from __future__ import annotations

from .split_linear import SplitLinear

__all__ = ["CoverLinear"]


class CoverLinear(SplitLinear):
    """A linear layer (…, K) -> (…, N) as groups of outputs, each with the inputs that it reads (paper 4.4).

    decomposition: of the weight (K, N), with any blocks: inputs may be shared; where it is `split_k` outputs are
    shared and their parts added; residual entries are computed apart. bias: whether there is one, of all outputs.

    >>> from scission import Block, Decomposition
    >>> layer = CoverLinear(Decomposition((3, 2), (Block([0, 1], [0]), Block([1, 2], [1]))), bias=False)
    >>> layer, (layer.weight != 0).tolist()
    (CoverLinear(3x2, blocks=2, mac_share=0.667), [[True, True, False], [False, True, True]])
    """
