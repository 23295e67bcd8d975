"""Which weights of a module a monitor looks at, also when they are replaced, and what they were before training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ....ir.errors import ScissionError

__all__ = ["followed", "given", "watched"]

NUMBERS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def watched(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The parameters of two dimensions, but for tables, and for what is quantised and does not train.

    Raises ScissionError for one without values, or that trains in another type than those of 16 to 64 bits.
    """
    tables = {one.weight for one in module.modules() if isinstance(one, nn.Embedding | nn.EmbeddingBag)}
    for name, parameter in module.named_parameters():
        if nn.parameter.is_lazy(parameter):
            raise ScissionError(f"{name}: has no shape yet; let the module compute once first")
        frozen = parameter.dtype not in NUMBERS and not parameter.requires_grad
        if parameter.dim() == 2 and min(parameter.shape) > 1 and parameter not in tables and not frozen:
            yield name, _with_numbers(name, parameter)


def followed(module: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of these names as they are by now; raises ScissionError where one is gone or has another shape."""
    now = {name: _named(module, name) for name in weights}
    for name, weight in now.items():
        if not isinstance(weight, Tensor) or weight.shape != weights[name].shape:
            raise ScissionError(
                f"{name}: there is no weight of shape {tuple(weights[name].shape)} any more; close the monitor, and "
                "begin another with the module as it is"
            )
        _with_numbers(name, weight)
    return now


def given(initial: Any, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The initial ones of these weights; raises ScissionError where they are not given."""
    found = dict(initial) if isinstance(initial, Mapping) else {}
    for name, weight in weights.items():
        one = found.get(name)
        if not isinstance(one, Tensor) or one.shape != weight.shape:
            raise ScissionError(
                f"{name}: there is no initial weight of shape {tuple(weight.shape)}; give its state_dict"
            )
        _with_numbers(name, one)
    return {name: found[name].detach().to(weight.device) for name, weight in weights.items()}


def _named(module: nn.Module, name: str) -> Any:
    """What a module has under the name of a parameter, None where that is nothing."""
    at: Any = module
    for part in name.split("."):
        at = getattr(at, part, None)
    return at


def _with_numbers(name: str, weight: Tensor) -> Tensor:
    if weight.is_meta:
        raise ScissionError(f"{name}: is on the device 'meta', which has no values; load the weights first")
    if weight.dtype not in NUMBERS or weight.layout != torch.strided:
        raise ScissionError(f"{name}: is {weight.dtype}; a monitor looks at floating-point numbers of 16 to 64 bits")
    return weight
