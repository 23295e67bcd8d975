"""A linear layer as independent blocks, which share no feature."""

from __future__ import annotations

from typing import Any

from ....ir.plan.decomposition import Decomposition
from .layer_error import LayerError
from .split_linear import SplitLinear

__all__ = ["BlockLinear"]


class BlockLinear(SplitLinear):
    """A linear layer (…, K) -> (…, N) as independent blocks: each feature is read or written by one of them at most.

    decomposition: of the weight (K, N); bias: whether there is one, of all outputs. Training the blocks is training
    the masked weight (eq. 4.7 of the paper), at the cost of the blocks alone. Raises LayerError where blocks share
    inputs or outputs, or there are entries outside of them: those are for `CoverLinear`.

    >>> from scission import Block, Decomposition
    >>> layer = BlockLinear(Decomposition((4, 3), (Block([0, 2], [1]), Block([1, 3], [0]))))
    >>> layer
    BlockLinear(4x3, blocks=2, mac_share=0.333)
    >>> import torch
    >>> layer(torch.zeros(5, 4)).shape, {name: tuple(p.shape) for name, p in layer.named_parameters()}
    (torch.Size([5, 3]), {'bias': (3,), 'blocks.0': (2, 2, 1)})
    """

    def __init__(
        self, decomposition: Decomposition, bias: bool = True, *, device: Any = None, dtype: Any = None
    ) -> None:
        if decomposition.shared.size or decomposition.residual:
            raise LayerError("these blocks are not independent: they share features; use CoverLinear")
        super().__init__(decomposition, bias, device=device, dtype=dtype)
