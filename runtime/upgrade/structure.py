"""Exactly zero structure of dense layers of torch, found by the same passes as that of models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from ...ir.plan.decomposition import Decomposition
from ...ir.reason import Cause, Reason
from ...passes.connectivity.bipartite import components
from ...passes.connectivity.boolean import pack
from ...passes.decompose.blocks import decompose, group, grouped_at
from ...passes.decompose.cover.cover import WORTH, covers
from ...passes.decompose.cover_cost import CoverCost
from ...passes.decompose.joint import joint_blocks
from .modules.split_module import mac_share

__all__ = ["attention_blocks", "ffn_blocks", "linear_blocks"]


def linear_blocks(weight: Tensor, most: int | None = None) -> Decomposition | Reason:
    """The blocks of a weight (N, K) as torch stores it, or why it is left: groups that share inputs where they save a
    tenth over the components, else the components, at most so many where that is given."""
    relation = pack(weight.detach().T != 0)
    if not relation.count:
        return Reason(Cause.ALL_ZERO, "every entry is zero")
    parts = components(relation)
    shared = covers(relation, parts)
    found = decompose(parts) if shared is None else grouped_at(shared, CoverCost())
    found = found if most is None else group(found, most)
    if found.mac_share > 1 - WORTH:
        whole = parts.count == 1 and not parts.dormant
        text = "one component holds every feature" if whole else f"blocks keep {found.mac_share:.0%} of the products"
        return Reason(Cause.CONNECTED if whole else Cause.NO_GAIN, text)
    return found


def ffn_blocks(up: nn.Linear, down: nn.Linear, most: int | None = None) -> tuple[Decomposition, ...] | None:
    """The decompositions of both layers, whose blocks share no hidden unit; None where there are fewer than two, or
    they would not save a tenth; most: how many there are at most."""
    return _worth(joint_blocks([_edges(up.weight)], _edges(down.weight), most=most))


def attention_blocks(attention: nn.MultiheadAttention, most: int | None = None) -> tuple[Decomposition, ...] | None:
    """The decompositions of queries, keys, values and output, whose blocks share no head; None as above."""
    if attention.in_proj_weight is not None:
        stored = attention.in_proj_weight.detach().chunk(3)
    else:
        stored = (attention.q_proj_weight, attention.k_proj_weight, attention.v_proj_weight)
    readers = [_edges(one) for one in stored]
    writer = _edges(attention.out_proj.weight)
    return _worth(joint_blocks(readers, writer, attention.head_dim, whole=True, most=most))


def _edges(stored: Tensor) -> npt.NDArray[np.bool_]:
    """The edges (K, N) of a weight (N, K)."""
    edges: Any = (stored.detach().T != 0).cpu().numpy()
    return np.ascontiguousarray(edges)


def _worth(found: Sequence[Decomposition] | None) -> tuple[Decomposition, ...] | None:
    return None if found is None or mac_share(found) > 1 - WORTH else tuple(found)
