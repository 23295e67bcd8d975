"""Dense layers of torch whose weights are masked, the slow obvious oracle of blocks, and what blocks should be."""

import numpy as np
import torch
from torch import nn

OPTIMISERS = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.05),
    "momentum": lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9, nesterov=True),
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=0.01),
}


class Masked(nn.Module):
    """y = x (W ∘ mask)ᵀ + b with all of W a parameter, which is zero outside of the mask."""

    def __init__(self, decomposition, bias=True, seed=0, whole_numbers=False):
        super().__init__()
        draw = torch.Generator().manual_seed(seed)
        K, N = decomposition.shape
        make = (lambda *s: torch.randint(-4, 5, s, generator=draw).double()) if whole_numbers else None
        make = make or (lambda *s: torch.randn(*s, generator=draw, dtype=torch.float64))
        self.mask = torch.from_numpy(decomposition.inside().T.copy())
        self.weight = nn.Parameter(make(N, K) * self.mask)
        self.bias = nn.Parameter(make(N)) if bias else None

    def forward(self, x):
        return nn.functional.linear(x, self.weight * self.mask, self.bias)


def as_linear(masked):
    """A dense layer of torch with the same weights."""
    N, K = masked.weight.shape
    made = nn.Linear(K, N, masked.bias is not None, dtype=masked.weight.dtype)
    made.load_state_dict(masked.state_dict())
    return made


def dense_of(layer, attribute="data"):
    """The dense matrix (N, K) of an attribute, such as "grad", of a split layer's blocks, entry by entry."""
    found = layer.decomposition
    K, N = found.shape
    out = np.zeros((N, K))
    stacks = {}
    for block in found.blocks:
        stacks.setdefault(block.shape, []).append(block)
    for parameter, own in zip(layer.blocks, stacks.values(), strict=True):
        values = getattr(parameter, attribute).numpy()
        for value, block in zip(values, own, strict=True):
            for k, row in zip(block.inputs, value, strict=True):
                for n, entry in zip(block.outputs, row, strict=True):
                    out[n, k] = entry
    if layer.residual is not None:
        for (k, n), entry in zip(found.residual, getattr(layer.residual, attribute).numpy(), strict=True):
            out[n, k] = entry
    return out
