"""An operator as its rule is asked for it: where it stands, what its attributes say, in which operator set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor

from ....ir.onnx_ir import onnx_ir as ir

__all__ = ["TYPES", "Call", "Given", "Made", "Rule", "present", "text", "whole_numbers"]

TYPES: dict[int, torch.dtype] = {  # by the number that ONNX gives a type
    int(ir.DataType.FLOAT): torch.float32,
    int(ir.DataType.DOUBLE): torch.float64,
    int(ir.DataType.FLOAT16): torch.float16,
    int(ir.DataType.BFLOAT16): torch.bfloat16,
    int(ir.DataType.INT8): torch.int8,
    int(ir.DataType.INT16): torch.int16,
    int(ir.DataType.INT32): torch.int32,
    int(ir.DataType.INT64): torch.int64,
    int(ir.DataType.UINT8): torch.uint8,
    int(ir.DataType.BOOL): torch.bool,
}


@dataclass(frozen=True, slots=True)
class Call:
    """One node. address: where it is in the model; outputs: how many it has; opset: of the standard domain."""

    op: str
    address: str
    outputs: int = 1
    opset: int = 21
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def get(self, name: str, default: Any = None) -> Any:
        """What an attribute says; a default where the node has none."""
        return self.attributes.get(name, default)


Given: TypeAlias = "Sequence[Tensor | None]"
Made: TypeAlias = "Tensor | Sequence[Tensor]"
Rule: TypeAlias = Callable[[Call, Given], Made]


def present(given: Given, place: int) -> Tensor:
    """The operand at a place, which the operator cannot be without."""
    tensor = given[place]
    assert tensor is not None
    return tensor


def text(value: str | bytes) -> str:
    """What an attribute says that is a text, of whatever kind the reader of the model made it."""
    return value.decode() if isinstance(value, bytes) else value


def whole_numbers(call: Call, given: Given, place: int, name: str) -> list[int] | None:
    """What an operand says, such as axes, which was an attribute in older operator sets; None where neither is there.

    >>> whole_numbers(Call("Squeeze", "s", attributes={"axes": [0]}), [torch.zeros(1)], 1, "axes")
    [0]
    """
    tensor = given[place] if len(given) > place else None
    if tensor is not None:
        return [int(one) for one in tensor.reshape(-1).tolist()]
    stated = call.get(name)
    if stated is None:
        return None
    return [int(one) for one in (stated if isinstance(stated, Sequence) else [stated])]
