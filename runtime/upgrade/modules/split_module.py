"""What all split modules have in common: blocks that came out of dense parameters, and know from where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ....ir.plan.decomposition import Decomposition

__all__ = ["Origin", "SplitModule", "entries", "mac_share", "spread"]


class Origin(NamedTuple):
    """Where a parameter of a split module comes from: entry `at` of the dense parameter called `part`, flattened.

    at: of the shape of the parameter.
    """

    parameter: nn.Parameter
    part: str
    at: Tensor


class SplitModule(nn.Module):
    """A module whose parameters are blocks of dense ones; the blocks' features are part of its state.

    decompositions: of its weights, block i of each belonging together. What is loaded must have the same blocks.
    """

    layout: Tensor

    def __init__(self, decompositions: Sequence[Decomposition]) -> None:
        super().__init__()
        self.decompositions = tuple(decompositions)
        self.register_buffer("layout", _layout(decompositions))

    def origins(self) -> Iterator[Origin]:
        """Where each parameter comes from."""
        raise NotImplementedError

    def fill(self, parts: Mapping[str, Tensor]) -> None:
        """Give every parameter the entries that it has in the dense parameters of these names."""
        with torch.no_grad():
            for parameter, part, at in self.origins():
                dense = parts[part]
                parameter.copy_(dense.reshape(-1)[at.to(dense.device)])

    def extra_repr(self) -> str:
        """Shapes, blocks, and the share of the multiply-adds that is left."""
        shapes = [f"{K}x{N}" for K, N in (one.shape for one in self.decompositions)]
        return f"{', '.join(shapes)}, blocks={len(self.decompositions[0].blocks)}, mac_share={self.mac_share:.3g}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"

    @property
    def mac_share(self) -> float:
        """Multiply-adds of the blocks over those of the dense weights, 0 to 1."""
        return mac_share(self.decompositions)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        given, errors = state_dict.get(f"{prefix}layout"), rest[-1]
        if given is not None and not torch.equal(given.to(self.layout.device), self.layout):
            errors.append(f"{prefix.rstrip('.') or 'the module'}: the state is that of other blocks; split alike first")
            return
        super()._load_from_state_dict(state_dict, prefix, *rest)


def entries(rows: Any, columns: Any, width: int, offset: int = 0) -> Tensor:
    """Flat indices (B, k, n) into a weight stored (N, K) of blocks with these inputs (B, k) and outputs (B, n).

    width: K; offset: rows of the stored weight before these.
    """
    k, n = np.asarray(rows), np.asarray(columns)
    return torch.from_numpy((n[:, None, :] + offset) * width + k[:, :, None])


def spread(values: Sequence[Tensor], at: Sequence[Tensor], size: int, like: Tensor) -> Tensor:
    """A vector (size,) with these values at these places and 0 elsewhere; gradients reach the values."""
    out = like.new_zeros(size)
    if not values:
        return out
    index = torch.cat([one.reshape(-1) for one in at]).to(out.device)
    return out.index_put((index,), torch.cat([one.reshape(-1) for one in values]))


def mac_share(decompositions: Sequence[Decomposition]) -> float:
    """Multiply-adds of the blocks of several weights over those of the weights, 0 to 1."""
    area = sum(one.shape[0] * one.shape[1] for one in decompositions)
    return sum(one.mac_share * one.shape[0] * one.shape[1] for one in decompositions) / max(area, 1)


def _layout(decompositions: Sequence[Decomposition]) -> Tensor:
    """All that tells decompositions apart, as one vector."""
    parts: list[Any] = []
    for one in decompositions:
        parts.append(
            [*one.shape, len(one.blocks), len(one.residual), *(index for pair in one.residual for index in pair)]
        )
        for block in one.blocks:
            parts += [list(block.shape), block.inputs, block.outputs]
    return torch.from_numpy(np.concatenate(parts).astype(np.int64))
