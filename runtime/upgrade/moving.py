"""The state of an optimiser moved from dense parameters to their blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .modules.layer_error import LayerError

__all__ = ["Moved", "carry_state", "move_gradients"]


@dataclass(frozen=True, slots=True, eq=False)
class Moved:
    """A parameter of blocks that took the place of entries of a dense one.

    name: of the dense parameter in the module as it was; at: the flat index there of each entry of `new`; into: its
    name in the module as it is.
    """

    name: str
    old: nn.Parameter
    new: nn.Parameter
    at: Tensor
    into: str

    def taken(self, dense: Tensor) -> Tensor:
        """The entries of a tensor of the dense parameter's shape that the blocks have."""
        return dense.reshape(-1)[self.at.to(dense.device)]


def move_gradients(moved: Sequence[Moved]) -> None:
    """Give the blocks the gradients that the dense parameters have accumulated, where there are any."""
    for one in moved:
        if one.old.grad is not None:
            one.new.grad = one.taken(one.old.grad)


def carry_state(optimizer: torch.optim.Optimizer, moved: Sequence[Moved]) -> None:
    """Let an optimiser go on with blocks where it trained dense parameters, its state cut as they were.

    Momentum, and the moments of Adam, are entries beside those of the parameter, so that the blocks are trained as the
    masked weights would have been (eq. 4.7); numbers of steps are copied. Groups keep their settings and order, and
    get the new names where they have names. Raises LayerError for state of any other shape, before anything is changed:
    such as factored moments, or what is kept of all parameters as one vector.
    """
    new: dict[nn.Parameter, list[Moved]] = {}
    for one in moved:
        new.setdefault(one.old, []).append(one)
    trained = [old for group in optimizer.param_groups for old in group["params"] if old in new]
    states = {
        one.new: {name: _part(name, value, one) for name, value in optimizer.state[old].items()}
        for old in trained
        for one in new[old]
        if old in optimizer.state
    }
    for group in optimizer.param_groups:
        if "param_names" in group:
            pairs = zip(group["params"], group["param_names"], strict=True)
            group["param_names"] = [
                each
                for old, name in pairs
                for each in ([_renamed(name, one) for one in new[old]] if old in new else [name])
            ]
        group["params"] = [
            each for old in group["params"] for each in ([one.new for one in new[old]] if old in new else [old])
        ]
    for old in trained:
        optimizer.state.pop(old, None)
    optimizer.state.update(states)


def _renamed(name: str, one: Moved) -> str:
    """The name of the blocks where the dense parameter had another one than in the module: that of a larger module."""
    return f"{name.removesuffix(one.name)}{one.into}" if name.endswith(one.name) else one.into


def _part(name: str, value: Any, one: Moved) -> Any:
    if isinstance(value, Tensor) and value.shape == one.old.shape and value.dim():
        return one.taken(value)
    if isinstance(value, Tensor) and not value.dim():
        return value.clone()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise LayerError(
        f"{one.name}: the optimiser keeps {name!r}, which is not an entry for each weight; begin with a new optimiser"
    )
