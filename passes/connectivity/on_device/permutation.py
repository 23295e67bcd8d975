"""The permutation of a weight on the device that found its components: only the orders of its features come back.

The key of the paper's sort for a single product, whose blocks have no layers: isolated or not, component, feature
(appendix A, step 8). Components are numbered by their smallest inputs, as everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ..bipartite import Components

if TYPE_CHECKING:
    import torch

    from ..bipartite import Labels

__all__ = ["Permutation", "as_components", "permutation"]

Tensor: TypeAlias = "torch.Tensor"


@dataclass(frozen=True, slots=True, eq=False)
class Permutation:
    """Orders in which the features of each component follow one another, isolated ones last, still on the device.

    inputs (K,), outputs (N,): the feature at each new place; sizes (2, n): how many inputs and outputs each component
    has, none from the last component on.
    """

    inputs: Tensor
    outputs: Tensor
    sizes: Tensor

    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """All three, in this order."""
        return self.inputs, self.outputs, self.sizes


def permutation(inputs: Tensor, outputs: Tensor, names: int) -> Permutation:
    """Sort features by component; waits for nothing.

    inputs (K,), outputs (N,): the component of each by any name from 0 to names - 1, -1 for isolated ones.
    """
    import torch

    device, K = inputs.device, inputs.numel()
    places = torch.arange(K, device=device)
    isolated = torch.full_like(inputs, names)
    owner = torch.where(inputs < 0, isolated, inputs)
    first = torch.full((names + 1,), K, dtype=torch.int64, device=device).scatter_reduce(0, owner, places, "amin")
    first[names] = K  # what is isolated comes last, with the names that nobody has
    number = torch.empty_like(first)
    number[torch.argsort(first, stable=True)] = torch.arange(names + 1, device=device)
    orders, sizes = [], []
    for labels in (inputs, outputs):
        lone = labels < 0
        key = torch.where(lone, names + 1, number[torch.where(lone, 0, labels)])
        orders.append(torch.argsort(key, stable=True))
        held = torch.zeros(names + 2, dtype=torch.int64, device=device)
        sizes.append(held.scatter_add(0, key, torch.ones_like(key))[:names])
    return Permutation(orders[0], orders[1], torch.stack(sizes))


def as_components(inputs: Labels, outputs: Labels, sizes: Labels, nonzeros: int) -> Components:
    """Components from the orders (K,), (N,) and sizes (2, n) that a device gave.

    >>> found = as_components(np.array([1, 2, 0]), np.array([0, 1]), np.array([[1, 1, 0], [1, 1, 0]]), 2)
    >>> found.inputs.tolist(), found.outputs.tolist(), found.count
    ([-1, 0, 1], [0, 1], 2)
    """
    count = int(np.count_nonzero(sizes[0]))
    labels = []
    for order, held in zip((inputs, outputs), sizes, strict=True):
        own = np.full(order.size, -1, np.int64)
        own[order[: int(held.sum())]] = np.repeat(np.arange(count), held[:count])
        labels.append(own)
    return Components(labels[0], labels[1], count, nonzeros)
