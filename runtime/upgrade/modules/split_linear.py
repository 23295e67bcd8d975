"""A linear layer as blocks, of whatever kind: parameters are stacks of equal blocks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from ....ir.plan.decomposition import Decomposition
from .index_work import Pick, PutBack, added, rows_of, stacks_of
from .split_module import Origin, SplitModule, entries, spread

__all__ = ["SplitLinear"]


class SplitLinear(SplitModule):
    """y = x W + b with W (K, N) zero outside of the blocks; the two kinds of it say what blocks may share.

    Blocks of equal shape (k, n) are one parameter (B, k, n) and one batched product; single residual entries are a
    vector. The bias has all N outputs, those of the zero channel as well.
    """

    def __init__(
        self, decomposition: Decomposition, bias: bool = True, *, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__([decomposition])
        self.decomposition = decomposition
        self.in_features, self.out_features = decomposition.shape
        blocks = decomposition.blocks
        stacks = [[blocks[i] for i in own] for own in stacks_of([block.shape for block in blocks])]
        self._inputs = [np.stack([block.inputs for block in own]) for own in stacks]
        self._outputs = [np.stack([block.outputs for block in own]) for own in stacks]
        self.pick = nn.ModuleList(Pick(list(own)) for own in self._inputs)
        self.place = PutBack([own.reshape(-1) for own in self._outputs], self.out_features)
        made = {"device": device, "dtype": dtype}
        self.blocks = nn.ParameterList(
            nn.Parameter(torch.empty(len(k), k.shape[1], n.shape[1], **made))
            for k, n in zip(self._inputs, self._outputs, strict=True)
        )
        self.bias = nn.Parameter(torch.empty(self.out_features, **made)) if bias else None
        at = np.array(decomposition.residual, np.int64).reshape(-1, 2).T
        self.residual = nn.Parameter(torch.empty(at.shape[1], **made)) if at.size else None
        self.register_buffer("residual_at", torch.from_numpy(at.copy()) if at.size else None, persistent=False)
        self.reset_parameters()
        self.to(device=device)

    @classmethod
    def from_linear(cls, linear: nn.Linear, decomposition: Decomposition) -> Self:
        """The blocks of a layer; what lies outside of them is left out, as eq. 4.7 has it.

        Raises LayerError where the blocks are not of this kind.
        """
        weight = linear.weight
        made = cls(decomposition, linear.bias is not None, device=weight.device, dtype=weight.dtype)
        made.fill(dict(linear.named_parameters()))
        made.train(linear.training)
        for parameter, part, _ in made.origins():
            parameter.requires_grad_(getattr(linear, part).requires_grad)
        return made

    def reset_parameters(self) -> None:
        """Draw every block as torch draws a linear layer of its shape: uniform within ±1/√k."""
        with torch.no_grad():
            for block in self.blocks:
                block.uniform_(-1 / math.sqrt(block.shape[1]), 1 / math.sqrt(block.shape[1]))
            for vector in (self.bias, self.residual):
                if vector is not None:
                    vector.uniform_(-1 / math.sqrt(self.in_features), 1 / math.sqrt(self.in_features))

    def forward(self, x: Tensor) -> Tensor:
        """(…, K) -> (…, N)."""
        rows = rows_of(x, self.in_features)
        parts = [torch.bmm(pick(rows), block) for pick, block in zip(self.pick, self.blocks, strict=True)]
        y = self.place(parts, rows)
        if self.residual is not None:
            k, n = self.residual_at
            y = y.index_add(1, n, (rows.index_select(1, k) * self.residual).to(y.dtype))
        y = added(y, self.bias)
        return y.reshape(*x.shape[:-1], self.out_features)

    def origins(self) -> Iterator[Origin]:
        """Blocks and residual entries are entries of `weight` (N, K), the bias is that of the layer."""
        for block, at in zip(self.blocks, self._places(), strict=True):
            yield Origin(block, "weight", at)
        if self.residual is not None:
            k, n = self.residual_at.cpu()
            yield Origin(self.residual, "weight", n * self.in_features + k)
        if self.bias is not None:
            yield Origin(self.bias, "bias", torch.arange(self.out_features))

    @property
    def weight(self) -> Tensor:
        """The dense weight (N, K) of these blocks, as `nn.Linear` has it; made anew each time."""
        own = [origin for origin in self.origins() if origin.part == "weight"]
        size = self.in_features * self.out_features
        flat = spread([one.parameter for one in own], [one.at for one in own], size, next(self.parameters()))
        return flat.reshape(self.out_features, self.in_features)

    def to_linear(self) -> nn.Linear:
        """A dense layer that computes the same."""
        weight = self.weight.detach()
        made = nn.Linear(
            self.in_features, self.out_features, self.bias is not None, device=weight.device, dtype=weight.dtype
        )
        with torch.no_grad():
            made.weight.copy_(weight)
            if self.bias is not None:
                made.bias.copy_(self.bias)
        return made.train(self.training)

    def _places(self) -> list[Tensor]:
        pairs = zip(self._inputs, self._outputs, strict=True)
        return [entries(inputs, outputs, self.in_features) for inputs, outputs in pairs]
